/* A service for the tests of crashes: it sees by itself what was lost, doubled, or out of order. Each of
 * its clients numbers its messages from 1 on, across connections and lives of the daemon.
 *
 *     CLIENT NUMBER ...   the number, if it is that client's next (clients are 0 to 7; what follows is
 *                         ignored); if not, `broken: ...`, and so is the answer to everything after it
 *     state               the last number of each client: `17 4 0 0 0 0 0 0`, or `broken: ...`
 *     pad BYTES           from here on the state has so many bytes more
 *
 * Its version is four digits, as those of stamp. Its state is the struct below and the padding, which
 * depends on the numbers, so that parts of two states do not make one. */
#include "baton.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARKER "BATON-STAMP-VERSION="
enum { CLIENTS = 8, PAD_MOST = 1 << 19 };

/* volatile, so that the compiler does not take the digits for known. */
static volatile char stamp[] __attribute__((used)) = MARKER "0001";
#define VERSION ((const char *)stamp + sizeof(MARKER) - 1)

static struct ledger {
    int64_t last[CLIENTS];
    int64_t pad;
    char broken[128];
} ledger;

static unsigned char exported[sizeof ledger + PAD_MOST];

static unsigned char padding(int64_t index)
{
    int64_t sum = index;
    for (int i = 0; i < CLIENTS; i++) sum += ledger.last[i];
    return (unsigned char)sum;
}

static bool is_whole(baton_bytes state)
{
    if (state.count < sizeof ledger) return false;
    memcpy(&ledger, state.bytes, sizeof ledger);
    if (ledger.pad < 0 || ledger.pad > PAD_MOST || state.count != sizeof ledger + (size_t)ledger.pad)
        return false;
    const unsigned char *pad = (const unsigned char *)state.bytes + sizeof ledger;
    for (int64_t i = 0; i < ledger.pad; i++)
        if (pad[i] != padding(i)) return false;
    return true;
}

static int start(void *context, const baton_host *host, baton_call *call, const baton_start *start)
{
    (void)context;
    memset(&ledger, 0, sizeof ledger);
    if (start->state.count == 0 || is_whole(start->state)) return 0;
    static const char reason[] = "the state is not one that ledger made";
    host->refuse(call, (baton_bytes){reason, sizeof reason - 1});
    return 1;
}

static int handle(void *context, const baton_host *host, baton_call *call, baton_bytes message)
{
    (void)context;
    char text[64] = "", reply[256];
    memcpy(text, message.bytes, message.count < sizeof text - 1 ? message.count : sizeof text - 1);
    int client;
    int64_t number;
    bool changed = false;
    if (strcmp(text, "state") == 0) {
        int count = 0;
        for (int i = 0; i < CLIENTS; i++)
            count += snprintf(reply + count, sizeof reply - (size_t)count, i ? " %" PRId64 : "%" PRId64,
                              ledger.last[i]);
    } else if (sscanf(text, "pad %" SCNd64, &number) == 1 && number >= 0 && number <= PAD_MOST) {
        ledger.pad = number;
        changed = true;
        snprintf(reply, sizeof reply, "padded");
    } else if (sscanf(text, "%d %" SCNd64, &client, &number) == 2 && client >= 0 && client < CLIENTS) {
        changed = true;
        if (number != ledger.last[client] + 1 && ledger.broken[0] == 0)
            snprintf(ledger.broken, sizeof ledger.broken,
                     "broken: client %d had %" PRId64 ", then came %" PRId64, client, ledger.last[client],
                     number);
        ledger.last[client] = number;
        snprintf(reply, sizeof reply, "%" PRId64, number);
    } else {
        snprintf(reply, sizeof reply, "unknown");
    }
    const char *answer = ledger.broken[0] != 0 ? ledger.broken : reply;
    host->reply(call, (baton_bytes){answer, strlen(answer)});
    return changed ? BATON_CHANGED : 0;
}

static int snapshot(void *context, const baton_host *host, baton_call *call)
{
    (void)context;
    memcpy(exported, &ledger, sizeof ledger);
    for (int64_t i = 0; i < ledger.pad; i++) exported[sizeof ledger + (size_t)i] = padding(i);
    host->state(call, (baton_bytes){exported, sizeof ledger + (size_t)ledger.pad});
    return 0;
}

static const baton_table table = {
    .size = sizeof(baton_table),
    .abi = BATON_ABI,
    .name = "ledger",
    .version = VERSION,
    .start = start,
    .handle = handle,
    .snapshot = snapshot,
};

const baton_table *baton_service(uint32_t host_abi)
{
    return host_abi == BATON_ABI ? &table : NULL;
}
