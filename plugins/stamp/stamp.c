/* A service for the tests, of which many versions can be had without a compiler: its version is
 * the four digits of a marker in its data, and a test that patches them in the file's bytes has
 * another image with another version.
 *
 *     count       VERSION count=N, the messages handled before this one, by all versions
 *     anything    VERSION anything
 *
 * The state is that count, an int64_t. */
#include "baton.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MARKER "BATON-STAMP-VERSION="

/* volatile, so that the compiler does not take the digits for known. */
static volatile char stamp[] __attribute__((used)) = MARKER "0001";
#define VERSION ((const char *)stamp + sizeof(MARKER) - 1)

static int64_t handled;

static int start(void *context, const baton_host *host, baton_call *call, const baton_start *start)
{
    (void)context;
    handled = 0;
    if (start->state.count == 0) return 0;
    if (start->state.count != sizeof handled) {
        static const char reason[] = "the state is not 8 bytes: it was not made by stamp";
        host->refuse(call, (baton_bytes){reason, sizeof reason - 1});
        return 1;
    }
    memcpy(&handled, start->state.bytes, sizeof handled);
    return 0;
}

static int handle(void *context, const baton_host *host, baton_call *call, baton_bytes message)
{
    (void)context;
    /* The start of a long message is enough for these tests. */
    char reply[4096];
    int count;
    if (message.count == 5 && memcmp(message.bytes, "count", 5) == 0) {
        count = snprintf(reply, sizeof reply, "%s count=%" PRId64, VERSION, handled);
    } else {
        int shown = message.count < 4000 ? (int)message.count : 4000;
        count = snprintf(reply, sizeof reply, "%s ", VERSION);
        if (shown > 0) memcpy(reply + count, message.bytes, (size_t)shown);
        count += shown;
    }
    handled += 1;
    host->reply(call, (baton_bytes){reply, (size_t)count});
    return BATON_CHANGED;
}

static int snapshot(void *context, const baton_host *host, baton_call *call)
{
    (void)context;
    host->state(call, (baton_bytes){&handled, sizeof handled});
    return 0;
}

static const baton_table table = {
    .size = sizeof(baton_table),
    .abi = BATON_ABI,
    .name = "stamp",
    .version = VERSION,
    .start = start,
    .handle = handle,
    .snapshot = snapshot,
};

const baton_table *baton_service(uint32_t host_abi)
{
    return host_abi == BATON_ABI ? &table : NULL;
}
