/* A service for the tests of upgrades: a sum, two formats to keep it in, and every way for a version
 * to go wrong.
 *
 * One build is any number of versions. What it is stands as text behind a marker in its data, and a
 * test writes another text there (Trial.swift) to have another image:
 *
 *     version=2 writes=2 takes=1-2 plan=crash-at 100
 *
 *     version     its label
 *     writes      the format of its state, 1 or 2
 *     takes       the formats that it takes and declares; 0-0: declares nothing, and takes its own
 *     plan        what goes wrong in it, to the end of the text:
 *
 *         none
 *         crash-at N          the Nth message that this process handles, replayed or not, kills it
 *         crash-after MS      it crashes MS milliseconds after its first message, busy or not
 *         crash-constructor   it crashes while it is loaded
 *         hang-constructor    it hangs while it is loaded
 *         old-table           its table is as long as in the first baton.h, and declares nothing
 *         differ              replies to `sum` begin with `~`
 *         snapshot-huge       each state that it hands over is 1 GiB
 *         migration-WHAT      when it is given the state of another version, it does WHAT:
 *         load-WHAT           the same, but only from the second time on: it gets past prepare
 *
 *             crash           dies of SIGSEGV
 *             exit            exits with 0
 *             hang            never returns
 *             late MS         returns after MS milliseconds, and is well
 *             nothing         fails without a reason
 *             refuse          fails with a reason
 *             forget          is well, but has no state to hand over any more
 *             huge            is well, but the state that it hands over is 1 GiB
 *
 * Messages:
 *
 *     sum N         adds N; the new sum
 *     sum N MS      the same, after MS milliseconds
 *     sum           the sum
 *     count         how many numbers were added
 *     version       its label
 *     origin        what the last `start` was given: `from=1 format=1 downgrade=0`, or `none`
 *     sleep MS      `slept`, after that time
 *     die LABEL     kills the version of that label; others answer `alive`
 *     die-all       kills every version
 *     hang LABEL    the version of that label never answers; others answer `alive`
 *     exit0         exits with code 0 at once
 *     exit0 MS      `going`; exits with code 0 after that time, busy or not
 *     weigh KB      adds so many KiB of ballast to its state, and no more: `weighs KB`
 *     alloc MB      takes so much memory, writes to it and keeps it; dies if there is none
 *     anything else is echoed
 *
 * The state, little-endian: format 1 is UInt8 1, Int64 sum, Int64 count; format 2 is UInt8 2,
 * Int64 count, Int64 sum, Int64 of both by exclusive or, so that neither can be taken for the other.
 * The ballast follows: bytes that can be told from those of another sum. */
#include "baton.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MARKER "BATON-TRIAL-SETTINGS="
#define SETTINGS_BYTES 128

/* volatile, so that the compiler does not take the text for known. */
static volatile char stamp[sizeof MARKER + SETTINGS_BYTES]
    __attribute__((used)) = MARKER "version=1 writes=1 takes=1-1 plan=none";

static struct {
    char version[64];
    unsigned writes, takes_from, takes_to;
    char plan[64];
} settings;

static struct {
    int64_t sum;
    int64_t count;
    size_t ballast;
} state;

/* What has happened to this process. */
static uint64_t handled;
static unsigned migrations;
static bool has_forgotten, is_huge;
static char origin[128] = "none";

static const size_t huge_bytes = (size_t)1 << 30;

static baton_bytes text(const char *string)
{
    return (baton_bytes){string, strlen(string)};
}

static void crash(void)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}

static void crash_by_signal(int signal)
{
    (void)signal;
    crash();
}

static void exit_by_signal(int signal)
{
    (void)signal;
    _exit(0);
}

static struct timespec milliseconds(uint64_t count)
{
    return (struct timespec){(time_t)(count / 1000), (long)(count % 1000) * 1000000};
}

static void sleep_milliseconds(uint64_t count)
{
    struct timespec left = milliseconds(count);
    while (nanosleep(&left, &left) != 0) {}
}

static void act_after(uint64_t count, void (*act)(int))
{
    struct sigaction action = {.sa_handler = act};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {.it_value = {(time_t)(count / 1000), (long)(count % 1000) * 1000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* `words` begins with `word`, and the number behind it (0 if there is none) goes to `number`. */
static bool begins(const char *words, const char *word, uint64_t *number)
{
    size_t length = strlen(word);
    if (strncmp(words, word, length) != 0) return false;
    if (words[length] != '\0' && words[length] != ' ') return false;
    *number = strtoull(words + length, NULL, 10);
    return true;
}

/* ---- The settings ---- */

static bool read_settings(void)
{
    char words[SETTINGS_BYTES + 1];
    for (size_t i = 0; i < SETTINGS_BYTES; i++) words[i] = stamp[sizeof MARKER - 1 + i];
    words[SETTINGS_BYTES] = '\0';
    for (size_t end = strlen(words); end > 0 && words[end - 1] == ' '; end--) words[end - 1] = '\0';
    return sscanf(words, "version=%63s writes=%u takes=%u-%u plan=%63[^\n]", settings.version,
                  &settings.writes, &settings.takes_from, &settings.takes_to, settings.plan) == 5;
}

__attribute__((constructor)) static void construct(void)
{
    uint64_t none;
    if (!read_settings()) abort();
    if (begins(settings.plan, "crash-constructor", &none)) crash();
    while (begins(settings.plan, "hang-constructor", &none)) pause();
}

/* ---- The state ---- */

static int64_t field(const unsigned char *bytes, int index)
{
    int64_t value;
    memcpy(&value, bytes + 1 + 8 * index, sizeof value);
    return value;
}

enum { MOST_HEAD_BYTES = 25 };

static size_t encode_head(unsigned char bytes[MOST_HEAD_BYTES])
{
    int64_t first[] = {state.sum, state.count};
    int64_t second[] = {state.count, state.sum, state.count ^ state.sum};
    bytes[0] = (unsigned char)settings.writes;
    if (settings.writes == 1) {
        memcpy(bytes + 1, first, sizeof first);
        return 1 + sizeof first;
    }
    memcpy(bytes + 1, second, sizeof second);
    return 1 + sizeof second;
}

static unsigned char ballast(size_t place)
{
    return (unsigned char)(place * 31 + (size_t)state.sum * 7);
}

/* What begins with `head` bytes and then has ballast. */
static bool decode_ballast(baton_bytes given, size_t head)
{
    const unsigned char *bytes = given.bytes;
    state.ballast = given.count - head;
    for (size_t i = 0; i < state.ballast; i++)
        if (bytes[head + i] != ballast(i)) return false;
    return true;
}

static bool decode(baton_bytes given, char *why, size_t room)
{
    const unsigned char *bytes = given.bytes;
    unsigned format = bytes[0];
    unsigned from = settings.takes_from ? settings.takes_from : settings.writes;
    unsigned to = settings.takes_to ? settings.takes_to : settings.writes;
    if (format < from || format > to) {
        snprintf(why, room, "the state is of format %u, version %s takes %u to %u", format,
                 settings.version, from, to);
        return false;
    }
    if (format == 1 && given.count >= 17) {
        state.sum = field(bytes, 0);
        state.count = field(bytes, 1);
        if (decode_ballast(given, 17)) return true;
    }
    if (format == 2 && given.count >= 25) {
        state.count = field(bytes, 0);
        state.sum = field(bytes, 1);
        if (field(bytes, 2) == (state.count ^ state.sum) && decode_ballast(given, 25)) return true;
    }
    snprintf(why, room, "the state of %zu bytes was not made by trial", given.count);
    return false;
}

/* Does what the plan says about migrations; false: fail, with `why` if it is not empty. */
static bool migrate(const char *what, char *why, size_t room)
{
    uint64_t number;
    if (begins(what, "crash", &number)) crash();
    if (begins(what, "exit", &number)) exit(0);
    if (begins(what, "hang", &number)) for (;;) pause();
    if (begins(what, "late", &number)) sleep_milliseconds(number);
    if (begins(what, "forget", &number)) has_forgotten = true;
    if (begins(what, "huge", &number)) is_huge = true;
    if (begins(what, "nothing", &number)) return false;
    if (!begins(what, "refuse", &number)) return true;
    snprintf(why, room, "the migration is planned to be refused");
    return false;
}

static bool migrate_as_planned(char *why, size_t room)
{
    static const char each[] = "migration-", later[] = "load-";
    migrations += 1;
    if (strncmp(settings.plan, each, sizeof each - 1) == 0)
        return migrate(settings.plan + sizeof each - 1, why, room);
    if (migrations > 1 && strncmp(settings.plan, later, sizeof later - 1) == 0)
        return migrate(settings.plan + sizeof later - 1, why, room);
    return true;
}

static int start(void *context, const baton_host *host, baton_call *call, const baton_start *start)
{
    (void)context;
    char why[160] = "";
    state.sum = state.count = 0;
    state.ballast = 0;
    has_forgotten = is_huge = false;
    if (start->state.count == 0) return 0;
    bool knows = BATON_HAS(start, baton_start, downgrade);
    size_t label = start->from_version.count < 63 ? start->from_version.count : 63;
    snprintf(origin, sizeof origin, "from=%.*s format=%" PRIu32 " downgrade=%" PRIu32, (int)label,
             (const char *)start->from_version.bytes, knows ? start->state_version : 0,
             knows ? start->downgrade : 0);
    bool is_own = label == strlen(settings.version) &&
                  memcmp(start->from_version.bytes, settings.version, label) == 0;
    if (decode(start->state, why, sizeof why) && (is_own || migrate_as_planned(why, sizeof why)))
        return 0;
    if (why[0] != '\0') host->refuse(call, text(why));
    return 1;
}

static int snapshot(void *context, const baton_host *host, baton_call *call)
{
    (void)context;
    uint64_t none;
    if (has_forgotten) return 0;
    if (is_huge || begins(settings.plan, "snapshot-huge", &none)) {
        /* Never written to: it costs address space, not memory. */
        void *bytes = calloc(1, huge_bytes);
        if (bytes == NULL) return 1;
        host->state(call, (baton_bytes){bytes, huge_bytes});
        free(bytes);
        return 0;
    }
    unsigned char *bytes = malloc(MOST_HEAD_BYTES + state.ballast);
    if (bytes == NULL) return 1;
    size_t head = encode_head(bytes);
    for (size_t i = 0; i < state.ballast; i++) bytes[head + i] = ballast(i);
    host->state(call, (baton_bytes){bytes, head + state.ballast});
    free(bytes);
    return 0;
}

/* ---- Messages ---- */

static void keep_memory(uint64_t megabytes)
{
    size_t count = (size_t)megabytes << 20;
    volatile char *bytes = malloc(count);
    if (bytes == NULL) abort();
    for (size_t i = 0; i < count; i += 4096) bytes[i] = 1;
}

/* Whether the state changed. `line` ends with a NUL. */
static bool answer(const baton_host *host, baton_call *call, const char *line)
{
    char reply[256];
    uint64_t number;
    if (strncmp(line, "sum ", 4) == 0) {
        char *rest;
        long long addend = strtoll(line + 4, &rest, 10);
        sleep_milliseconds(strtoull(rest, NULL, 10));
        state.sum += addend;
        state.count += 1;
        bool differs = strcmp(settings.plan, "differ") == 0;
        snprintf(reply, sizeof reply, "%s%" PRId64, differs ? "~" : "", state.sum);
        host->reply(call, text(reply));
        return true;
    }
    if (begins(line, "weigh", &number)) {
        state.ballast = (size_t)number << 10;
        snprintf(reply, sizeof reply, "weighs %" PRIu64, number);
        host->reply(call, text(reply));
        return true;
    }
    if (strcmp(line, "sum") == 0) {
        snprintf(reply, sizeof reply, "%" PRId64, state.sum);
    } else if (strcmp(line, "count") == 0) {
        snprintf(reply, sizeof reply, "%" PRId64, state.count);
    } else if (strcmp(line, "version") == 0) {
        snprintf(reply, sizeof reply, "%s", settings.version);
    } else if (strcmp(line, "origin") == 0) {
        snprintf(reply, sizeof reply, "%s", origin);
    } else if (begins(line, "sleep", &number)) {
        sleep_milliseconds(number);
        snprintf(reply, sizeof reply, "slept");
    } else if (strcmp(line, "die-all") == 0) {
        crash();
    } else if (strncmp(line, "die ", 4) == 0) {
        if (strcmp(line + 4, settings.version) == 0) crash();
        snprintf(reply, sizeof reply, "alive");
    } else if (strncmp(line, "hang ", 5) == 0) {
        while (strcmp(line + 5, settings.version) == 0) pause();
        snprintf(reply, sizeof reply, "alive");
    } else if (strcmp(line, "exit0") == 0) {
        exit(0);
    } else if (begins(line, "exit0", &number)) {
        act_after(number, exit_by_signal);
        snprintf(reply, sizeof reply, "going");
    } else if (begins(line, "alloc", &number)) {
        keep_memory(number);
        snprintf(reply, sizeof reply, "allocated %" PRIu64, number);
    } else {
        return false;
    }
    host->reply(call, text(reply));
    return false;
}

static int handle(void *context, const baton_host *host, baton_call *call, baton_bytes message)
{
    (void)context;
    uint64_t number;
    handled += 1;
    if (begins(settings.plan, "crash-at", &number) && handled == number) crash();
    if (handled == 1 && begins(settings.plan, "crash-after", &number))
        act_after(number, crash_by_signal);

    /* What is not answered below is echoed. */
    host->reply(call, message);
    char line[128];
    if (message.count >= sizeof line) return BATON_UNCHANGED;
    if (message.count > 0) memcpy(line, message.bytes, message.count);
    line[message.count] = '\0';
    return answer(host, call, line) ? BATON_CHANGED : BATON_UNCHANGED;
}

const baton_table *baton_service(uint32_t host_abi)
{
    static baton_table table = {
        .size = sizeof(baton_table),
        .abi = BATON_ABI,
        .name = "trial",
        .version = settings.version,
        .start = start,
        .handle = handle,
        .snapshot = snapshot,
    };
    if (host_abi != BATON_ABI) return NULL;
    table.state_version = settings.takes_from == 0 ? 0 : settings.writes;
    table.takes_from = settings.takes_from;
    table.takes_to = settings.takes_to;
    uint64_t none;
    if (begins(settings.plan, "old-table", &none)) {
        table.size = offsetof(baton_table, state_version);
        /* Not for anybody to read. */
        table.state_version = table.takes_from = table.takes_to = 99;
    }
    return &table;
}
