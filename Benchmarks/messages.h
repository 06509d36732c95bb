/* Messages made beforehand, and the check of their replies. Part of load. */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A block of `bytes`: whole items of `item` bytes each, to be repeated for ever. */
struct block {
    char *start;
    size_t bytes, item;
};

/* What is sent, and what is to come back. `replies.bytes` is 0 when replies are only counted. */
struct messages {
    struct block requests, replies;
};

/* `service`: RESP, else lines. `line`: what each reply is; else, with `echo`, its message. */
struct messages make_messages(size_t size, const char *service, const char *line, bool echo);

/* One connection's replies so far. `at` is the place in the block. */
struct received {
    uint64_t bytes, replies;
    size_t at;
};

/* Takes in bytes as they came: compares them with `expected`, or counts their lines. A wrong one is
 * shown on standard error, and the process ends with 1. */
void receive_bytes(struct received *received, const struct block *expected, const char *bytes,
                   size_t count);

#endif
