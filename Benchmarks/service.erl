%% service: the process that `upgrade` upgrades in Erlang; service.c is its twin in Baton.
%%
%%     {spin, N}     keeps a processor busy for N microseconds
%%     {sleep, N}    takes N milliseconds
%%     count         version, version that last changed the state, messages handled before this one
%%
%% Compiled with -DVERSION=1, 2 and 3.
-module(service).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2, code_change/3]).

init([]) -> {ok, {?VERSION, 0}}.

handle_call(count, _From, {ChangedBy, Handled}) ->
    {reply, {?VERSION, ChangedBy, Handled}, {ChangedBy, Handled + 1}}.

handle_cast({spin, 0}, {ChangedBy, Handled}) ->
    {noreply, {ChangedBy, Handled + 1}};
handle_cast({spin, Microseconds}, {ChangedBy, Handled}) ->
    spin_until(erlang:monotonic_time(microsecond) + Microseconds),
    {noreply, {ChangedBy, Handled + 1}};
handle_cast({sleep, Milliseconds}, {ChangedBy, Handled}) ->
    timer:sleep(Milliseconds),
    {noreply, {ChangedBy, Handled + 1}}.

code_change(_Old, {_ChangedBy, Handled}, _Extra) -> {ok, {?VERSION, Handled}}.

spin_until(End) ->
    case erlang:monotonic_time(microsecond) < End of
        true -> spin_until(End);
        false -> ok
    end.
