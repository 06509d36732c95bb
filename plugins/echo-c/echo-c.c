/* The smallest service in C: it answers each message with the message. */
#include "baton.h"

static int start(void *context, const baton_host *host, baton_call *call, const baton_start *start)
{
    (void)context, (void)host, (void)call, (void)start;
    return 0;
}

static int handle(void *context, const baton_host *host, baton_call *call, baton_bytes message)
{
    (void)context;
    host->reply(call, message);
    return BATON_UNCHANGED;
}

static const baton_table table = {
    .size = sizeof(baton_table),
    .abi = BATON_ABI,
    .name = "echo-c",
    .version = "1",
    .start = start,
    .handle = handle,
};

const baton_table *baton_service(uint32_t host_abi)
{
    return host_abi == BATON_ABI ? &table : NULL;
}
