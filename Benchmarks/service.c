/* service.c: the service that `upgrade` upgrades in Baton; service.erl is its twin in Erlang.
 *
 *     spin N      keeps a processor busy for N microseconds
 *     sleep N     takes N milliseconds
 *     count       version, version that last took the state, messages handled before this one
 *
 * The state is the count. Compiled with -DVERSION=1, 2 and 3.
 */
#include "baton.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT(number) #number
#define LABEL(number) TEXT(number)

static struct {
    int64_t taken_by; /* the version whose `start` took this state */
    int64_t handled;
} state;

static int start(void *context, const baton_host *host, baton_call *call, const baton_start *start)
{
    (void)context, (void)host, (void)call;
    if (start->state.count == sizeof state)
        memcpy(&state, start->state.bytes, sizeof state);
    else if (start->state.count)
        return 1;
    state.taken_by = VERSION;
    return 0;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void reply(const baton_host *host, baton_call *call, const char *text)
{
    host->reply(call, (baton_bytes){text, strlen(text)});
}

static int handle(void *context, const baton_host *host, baton_call *call, baton_bytes message)
{
    (void)context;
    char text[64] = "";
    memcpy(text, message.bytes, message.count < sizeof text ? message.count : sizeof text - 1);
    if (strncmp(text, "spin ", 5) == 0) {
        int64_t microseconds = atoll(text + 5);
        if (microseconds > 0)
            for (int64_t end = now() + microseconds * 1000; now() < end;)
                ;
    } else if (strncmp(text, "sleep ", 6) == 0) {
        int64_t milliseconds = atoll(text + 6);
        nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000}, NULL);
        reply(host, call, "slept");
    } else if (strcmp(text, "count") == 0) {
        snprintf(text, sizeof text, "%d %" PRId64 " %" PRId64, VERSION, state.taken_by,
                 state.handled);
        reply(host, call, text);
    }
    state.handled++;
    return BATON_CHANGED;
}

static int snapshot(void *context, const baton_host *host, baton_call *call)
{
    (void)context;
    host->state(call, (baton_bytes){&state, sizeof state});
    return 0;
}

static const baton_table table = {
    .size = sizeof(baton_table),
    .abi = BATON_ABI,
    .name = "service",
    .version = LABEL(VERSION),
    .start = start,
    .handle = handle,
    .snapshot = snapshot,
};

const baton_table *baton_service(uint32_t host_abi)
{
    return host_abi == BATON_ABI ? &table : NULL;
}
