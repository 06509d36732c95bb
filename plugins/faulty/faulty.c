/* A service for the tests that does wrong what it is told to. Told by a message:
 *
 *     crash | abort | exit | hang    ends or blocks the process
 *     sleep N       `slept`, after N milliseconds
 *     reply N       N times `x`
 *     fail TEXT     the error TEXT
 *     newline       a reply of two lines
 *     silent        handles the message without calling `reply`
 *     version       its version
 *     count         the messages handled before this one, kept in the state
 *     state N       makes the state N bytes long, 8 or more
 *     log N         writes N lines to the log
 *     anything else is echoed
 *
 * or built in by a FAULTY_ define, one version each, named by its label below. */
#include "baton.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(FAULTY_CONSTRUCTOR)
#define VERSION "constructor"
#elif defined(FAULTY_START)
#define VERSION "start"
#elif defined(FAULTY_HANG)
#define VERSION "hang"
#elif defined(FAULTY_MIGRATION)
#define VERSION "migration"
#elif defined(FAULTY_LOAD)
#define VERSION "load"
#elif defined(FAULTY_ABI)
#define VERSION "abi"
#elif defined(FAULTY_SYMBOL)
#define VERSION "symbol"
#else
#define VERSION "1"
#endif

#define MAX_STATE ((uint64_t)256 << 20)

static baton_bytes text(const char *string)
{
    return (baton_bytes){string, strlen(string)};
}

static void crash(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}

static void hang(void)
{
    for (;;) pause();
}

#ifdef FAULTY_CONSTRUCTOR
__attribute__((constructor)) static void construct(void)
{
    crash();
}
#endif

/* The state: the count of messages handled, then zeros up to `state_bytes`. */
static int64_t handled;
static size_t state_bytes = sizeof handled;

static int start(void *context, const baton_host *host, baton_call *call, const baton_start *start)
{
    (void)context;
#if defined(FAULTY_START)
    crash();
#elif defined(FAULTY_HANG)
    hang();
#elif defined(FAULTY_MIGRATION)
    if (start->from_version.count > 0) {
        char reason[128];
        snprintf(reason, sizeof reason, "cannot migrate from %.*s",
                 (int)(start->from_version.count < 64 ? start->from_version.count : 64),
                 (const char *)start->from_version.bytes);
        host->refuse(call, text(reason));
        return 1;
    }
#elif defined(FAULTY_LOAD)
    static int starts;
    starts += 1;
    if (starts > 1) hang();
#endif
    handled = 0;
    state_bytes = sizeof handled;
    if (start->state.count == 0) return 0;
    if (start->state.count < sizeof handled) {
        host->refuse(call, text("the state is under 8 bytes: it was not made by faulty"));
        return 1;
    }
    memcpy(&handled, start->state.bytes, sizeof handled);
    state_bytes = start->state.count;
    return 0;
}

static bool is(baton_bytes message, const char *word)
{
    return message.count == strlen(word) && memcmp(message.bytes, word, message.count) == 0;
}

/* The rest of `message` after `word` and one space, or false. */
static bool after(baton_bytes message, const char *word, baton_bytes *rest)
{
    size_t length = strlen(word);
    if (message.count <= length || memcmp(message.bytes, word, length) != 0) return false;
    const char *bytes = message.bytes;
    if (bytes[length] != ' ') return false;
    *rest = (baton_bytes){bytes + length + 1, message.count - length - 1};
    return true;
}

/* As `after`, where the rest is a number. */
static bool number_after(baton_bytes message, const char *word, uint64_t *number)
{
    baton_bytes rest;
    if (!after(message, word, &rest) || rest.count == 0 || rest.count > 18) return false;
    const char *digits = rest.bytes;
    *number = 0;
    for (size_t i = 0; i < rest.count; i++) {
        if (digits[i] < '0' || digits[i] > '9') return false;
        *number = *number * 10 + (uint64_t)(digits[i] - '0');
    }
    return true;
}

static void sleep_milliseconds(uint64_t milliseconds)
{
    struct timespec left = {
        .tv_sec = (time_t)(milliseconds / 1000),
        .tv_nsec = (long)(milliseconds % 1000) * 1000000,
    };
    while (nanosleep(&left, &left) != 0) {}
}

static void answer(const baton_host *host, baton_call *call, baton_bytes message)
{
    char line[64];
    uint64_t number;
    baton_bytes rest;

    if (is(message, "crash")) {
        crash();
    } else if (is(message, "abort")) {
        abort();
    } else if (is(message, "exit")) {
        exit(0);
    } else if (is(message, "hang")) {
        hang();
    } else if (is(message, "newline")) {
        host->reply(call, text("two\nlines"));
    } else if (is(message, "silent")) {
        return;
    } else if (is(message, "version")) {
        host->reply(call, text(VERSION));
    } else if (is(message, "count")) {
        snprintf(line, sizeof line, "%" PRId64, handled);
        host->reply(call, text(line));
    } else if (after(message, "fail", &rest)) {
        host->fail(call, rest);
    } else if (number_after(message, "sleep", &number)) {
        sleep_milliseconds(number);
        host->reply(call, text("slept"));
    } else if (number_after(message, "log", &number)) {
        for (uint64_t i = 1; i <= number; i++) {
            snprintf(line, sizeof line, "line %" PRIu64, i);
            host->log(call, BATON_INFO, text(line));
        }
        host->reply(call, text("logged"));
    } else if (number_after(message, "state", &number)) {
        if (number < sizeof handled || number > MAX_STATE) {
            host->fail(call, text("INVALID the state can be of 8 bytes to 256 MiB"));
            return;
        }
        state_bytes = (size_t)number;
        snprintf(line, sizeof line, "state %" PRIu64, number);
        host->reply(call, text(line));
    } else if (number_after(message, "reply", &number)) {
        char *bytes = number <= MAX_STATE ? malloc(number ? (size_t)number : 1) : NULL;
        if (bytes == NULL) {
            host->fail(call, text("INVALID no memory for such a reply"));
            return;
        }
        memset(bytes, 'x', (size_t)number);
        host->reply(call, (baton_bytes){bytes, (size_t)number});
        free(bytes);
    } else {
        host->reply(call, message);
    }
}

static int handle(void *context, const baton_host *host, baton_call *call, baton_bytes message)
{
    (void)context;
    answer(host, call, message);
    handled += 1;
    return BATON_CHANGED;
}

static int snapshot(void *context, const baton_host *host, baton_call *call)
{
    (void)context;
    char *bytes = calloc(1, state_bytes);
    if (bytes == NULL) return 1;
    memcpy(bytes, &handled, sizeof handled);
    host->state(call, (baton_bytes){bytes, state_bytes});
    free(bytes);
    return 0;
}

__attribute__((used)) static const baton_table table = {
    .size = sizeof(baton_table),
#ifdef FAULTY_ABI
    .abi = 999,
#else
    .abi = BATON_ABI,
#endif
    .name = "faulty",
    .version = VERSION,
    .start = start,
    .handle = handle,
    .snapshot = snapshot,
};

#ifndef FAULTY_SYMBOL
const baton_table *baton_service(uint32_t host_abi)
{
    (void)host_abi;
    return &table;
}
#endif
