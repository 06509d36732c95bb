%% upgrade: Erlang's side of the comparison `upgrade`. One measurement, printed as a line of JSON.
%%
%%     erl -noshell -noinput -run upgrade main CODE HOW PROCESSES WAITING SPIN BUSY SLEEP
%%
%% CODE/N/service.beam is version N of the module. PROCESSES gen_servers run version 2, of which
%% BUSY, in the middle, handle a message that takes SLEEP milliseconds, and are upgraded to version
%% 3. The first has WAITING messages, each of SPIN microseconds; HOW they wait: `held`, the process
%% is suspended beforehand and stays so until the upgrade resumes it, or `working`, it begins with
%% them when the upgrade begins.
%%
%% The steps are those of release_handler, in its order: all processes are suspended, one after the
%% other, then the module is purged and loaded, then all are changed, then all resumed. One that
%% does not suspend itself within sys:suspend's 5 s is told to go on and left out.
-module(upgrade).
-export([main/1]).

main([Code, How | Numbers]) ->
    [Processes, Waiting, Spin, Busy, Sleep] = [list_to_integer(Text) || Text <- Numbers],
    ok = load(1, read(Code, 1)),
    warm_up(Code),
    Pids = [start() || _ <- lists:seq(1, Processes)],
    First = hd(Pids),
    case How of
        "held" -> ok = sys:suspend(First);
        "working" -> true = erlang:suspend_process(First)
    end,
    [gen_server:cast(First, {spin, Spin}) || _ <- lists:seq(1, Waiting)],
    BusyPids = lists:sublist(Pids, Processes div 2 + 1, Busy),
    [gen_server:cast(Pid, {sleep, Sleep}) || Pid <- BusyPids],
    timer:sleep(100),
    case How of
        "held" -> ok;
        "working" -> true = erlang:resume_process(First)
    end,
    {Steps, Pauses} = upgrade(Pids, Code, 3),
    Others = [Pause || {Pid, Pause} <- Pauses, not lists:member(Pid, BusyPids)],
    %% Bounded by what is left to be handled.
    {Version, ChangedBy, Handled} = gen_server:call(First, count, 60000),
    io:format(
        "{~s,\"pauses\":[~s],\"version\":~b,\"changed_by\":~b,\"handled\":~b,\"left_out\":~b}~n",
        [lists:join(",", [io_lib:format("\"~s\":~.1f", [Name, Time]) || {Name, Time} <- Steps]),
         lists:join(",", [io_lib:format("~.1f", [Pause]) || Pause <- Others]),
         Version, ChangedBy, Handled, Processes - length(Pauses)]),
    halt(0).

start() ->
    {ok, Pid} = gen_server:start(service, [], []),
    Pid.

%% What is slow only the first time, such as the loading of `sys`, is not the upgrade's.
warm_up(Code) ->
    Pid = start(),
    {_, [_]} = upgrade([Pid], Code, 2),
    exit(Pid, kill).

%% The times of the steps, and of each process that was upgraded the time from the request to
%% suspend it until it was resumed, all in microseconds.
upgrade(Pids, Code, Version) ->
    Begun = now_us(),
    Binary = read(Code, Version),
    Read = now_us(),
    Asked = [{Pid, now_us(), suspend(Pid)} || Pid <- Pids],
    AllSuspended = now_us(),
    code:purge(service),
    Purged = now_us(),
    ok = load(Version, Binary),
    Loaded = now_us(),
    Suspended = [{Pid, At} || {Pid, At, ok} <- Asked],
    [ok = sys:change_code(Pid, service, [], [], 60000) || {Pid, _} <- Suspended],
    Changed = now_us(),
    Pauses = [{Pid, resume(Pid) - At} || {Pid, At} <- Suspended],
    Resumed = now_us(),
    {[{verdict, Resumed - Begun}, {read, Read - Begun}, {suspend, AllSuspended - Read},
      {purge, Purged - AllSuspended}, {load, Loaded - Purged}, {code_change, Changed - Loaded},
      {resume, Resumed - Changed}],
     Pauses}.

suspend(Pid) ->
    try sys:suspend(Pid)
    catch exit:_ ->
        catch sys:resume(Pid),
        left_out
    end.

resume(Pid) ->
    ok = sys:resume(Pid, 60000),
    now_us().

read(Code, Version) ->
    {ok, Binary} =
        file:read_file(filename:join([Code, integer_to_list(Version), "service.beam"])),
    Binary.

load(Version, Binary) ->
    {module, service} = code:load_binary(service, integer_to_list(Version), Binary),
    ok.

now_us() -> erlang:monotonic_time(nanosecond) / 1000.
