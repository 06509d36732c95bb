/* Messages made beforehand, and the check of their replies. Part of load.
 *
 * Both are blocks that repeat, so sending is a write from one and checking a memcmp with the other.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "messages.h"

enum { BLOCK_BYTES = 256 << 10 };

/* The message numbered `number`: its last eight digits, then a filler; fewer, when it is short. */
static void write_message(char *at, size_t size, uint64_t number)
{
    memset(at, '.', size);
    for (size_t i = size < 8 ? size : 8; i-- > 0; number /= 10)
        at[i] = (char)('0' + number % 10);
}

/* How many items fill a block: whole tens, as the shortest message is one digit. */
static size_t items_in_block(size_t item)
{
    return BLOCK_BYTES / item / 10 * 10 + 10;
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);
    if (!memory) {
        fprintf(stderr, "load: %zu bytes: %s: use a smaller --size\n", bytes, strerror(errno));
        exit(1);
    }
    return memory;
}

/* A block of items, each of them `prefix`, `size` bytes of a numbered message, `suffix`. */
static struct block make_block(size_t items, const char *prefix, size_t size, const char *suffix)
{
    size_t before = strlen(prefix), after = strlen(suffix);
    struct block block = {.item = before + size + after};
    block.bytes = items * block.item;
    block.start = allocate(block.bytes);
    char *at = block.start;
    for (size_t i = 0; i < items; i++) {
        at = mempcpy(at, prefix, before);
        write_message(at, size, i);
        at = mempcpy(at + size, suffix, after);
    }
    return block;
}

struct messages make_messages(size_t size, const char *service, const char *line, bool echo)
{
    struct messages messages = {0};
    char head[256] = "";
    const char *end = service ? "\r\n" : "\n";
    /* A request's number in its block must be its reply's: both have the same number of items. */
    size_t items = items_in_block(size + 1);
    if (service)
        snprintf(head, sizeof head, "*3\r\n$4\r\nCALL\r\n$%zu\r\n%s\r\n$%zu\r\n",
                 strlen(service), service, size);
    messages.requests = make_block(items, head, size, end);

    if (service)
        snprintf(head, sizeof head, "$%zu\r\n", line ? strlen(line) : size);
    if (line) {
        size_t bytes = strlen(head) + strlen(line) + 1;
        char *prefix = allocate(bytes);
        snprintf(prefix, bytes, "%s%s", head, line);
        messages.replies = make_block(items_in_block(bytes), prefix, 0, end);
        free(prefix);
    } else if (echo) {
        messages.replies = make_block(items, head, size, end);
    }
    return messages;
}

static uint64_t count_lines(const char *at, size_t count)
{
    uint64_t lines = 0;
    while (count >= 64) { /* a fixed count, so that the compiler makes vector code of it */
        uint8_t sum = 0;
        for (int i = 0; i < 64; i++)
            sum = (uint8_t)(sum + (at[i] == '\n'));
        lines += sum;
        at += 64;
        count -= 64;
    }
    while (count-- > 0)
        lines += *at++ == '\n';
    return lines;
}

/* Prints the bytes up to a line's end, and no more than a screen's width. */
static void print_excerpt(const char *label, const char *at, size_t count)
{
    fprintf(stderr, "load:   %s \"", label);
    for (size_t i = 0; i < count && i < 72 && at[i] != '\n'; i++)
        fputc(at[i] >= ' ' && at[i] <= '~' ? at[i] : '?', stderr);
    fputs("\"\n", stderr);
}

static _Noreturn void wrong_reply(const struct received *received, const struct block *expected,
                                  const char *got, size_t count)
{
    const char *want = expected->start + received->at;
    size_t same = 0;
    while (got[same] == want[same])
        same++;
    uint64_t at = received->bytes + same;
    fprintf(stderr, "load: reply %ju is wrong from its byte %ju on\n",
            (uintmax_t)(at / expected->item + 1), (uintmax_t)(at % expected->item + 1));
    print_excerpt("expected", want + same, expected->bytes - received->at - same);
    print_excerpt("got     ", got + same, count - same);
    exit(1);
}

void receive_bytes(struct received *received, const struct block *expected, const char *bytes,
                   size_t count)
{
    if (!expected->bytes) {
        received->bytes += count;
        received->replies += count_lines(bytes, count);
        return;
    }
    while (count > 0) {
        size_t left = expected->bytes - received->at, part = count < left ? count : left;
        if (memcmp(bytes, expected->start + received->at, part) != 0)
            wrong_reply(received, expected, bytes, part);
        received->bytes += part;
        received->at = part == left ? 0 : received->at + part;
        bytes += part;
        count -= part;
    }
    received->replies = received->bytes / expected->item;
}
