/* baton.h: the contract between Baton and a service plugin.
 *
 * A plugin is a shared object that exports one function, `baton_service`. Baton loads each version
 * of it into a process of its own, asks that function for a table, and calls the table from one
 * thread, one call at a time, in this order:
 *
 *     start  snapshot?  (handle* snapshot?)*  stop  [start ...]
 *
 * Everything is synchronous. Nothing that crosses this line changes its owner: what the host hands
 * to a function is valid until that function returns, what the plugin hands to a host function is
 * copied before it returns. A crash, an exit or a hang in any function is contained: Baton ends the
 * process and the message in hand is given to the next one.
 *
 * This header needs nothing but a C compiler (C99 or later, or C++).
 */
#ifndef BATON_H
#define BATON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The number of this contract. It changes only when an old plugin could no longer be called. */
#define BATON_ABI 1u

/* Marks the one function that a plugin exports. */
#define BATON_EXPORT __attribute__((visibility("default"), used))

/* `count` bytes at `bytes`. `bytes` may be NULL when `count` is 0. Not terminated by a NUL. */
typedef struct baton_bytes {
    const void *bytes;
    size_t count;
} baton_bytes;

/* The host's side of one call; opaque to the plugin, valid until the call returns. */
typedef struct baton_call baton_call;

enum baton_log_level { BATON_DEBUG = 0, BATON_INFO = 1, BATON_WARNING = 2, BATON_ERROR = 3 };

/* What the host offers. `size` is sizeof(baton_host) as the host knows it: a function that lies
 * beyond it does not exist. Valid for the life of the process. */
typedef struct baton_host {
    size_t size;
    uint32_t abi;

    /* In `handle`: the reply to this message. Called again, it replaces the earlier one; never
     * called, the reply is empty. More than the message limit (1 MiB by default) is refused: the
     * caller gets the error TOOBIG. */
    void (*reply)(baton_call *call, baton_bytes reply);

    /* In `handle`: the reply is an error. `text` is `CODE what is wrong, and the next step`, one
     * line; the caller sees it as `-CODE ...`. The message counts as handled. */
    void (*fail)(baton_call *call, baton_bytes text);

    /* In `snapshot`: the whole state. Called again, it replaces the earlier one. */
    void (*state)(baton_call *call, baton_bytes state);

    /* In `start`: why this version cannot start with this state; shown to the operator.
     * Return nonzero after it. */
    void (*refuse)(baton_call *call, baton_bytes reason);

    /* Anywhere: a line for the journal. Long lines are cut, floods are dropped. */
    void (*log)(baton_call *call, enum baton_log_level level, baton_bytes text);
} baton_host;

/* What `start` is given. `from_version` is the version label of the code that made `state`, with
 * `count` 0 (and `state.count` 0) where there is none: the service starts for the first time. */
typedef struct baton_start {
    size_t size;
    baton_bytes state;
    baton_bytes from_version;

    /* Since Baton 0.2; only where `size` reaches so far (BATON_HAS). */

    /* The format of `state`, as the version that made it declared it; 0 if it declared none. */
    uint32_t state_version;
    /* 1: a newer version made `state`, and this one takes over from it (a rollback, or an upgrade
     * to an older image). */
    uint32_t downgrade;
} baton_start;

/* Whether the struct at `pointer`, which begins with its size, reaches as far as `field`: it was
 * made by code that knew it. */
#define BATON_HAS(pointer, type, field)                                                            \
    ((pointer)->size >= offsetof(type, field) + sizeof((pointer)->field))

/* `handle` returns one of these. */
enum baton_handled {
    BATON_UNCHANGED = 0, /* the state is as before: `snapshot` is not asked for it */
    BATON_CHANGED = 1    /* the state changed: it is kept, by `snapshot`, together with the reply */
};

/* What the plugin offers. `size` first, so that it can grow: set it to sizeof(baton_table).
 * Functions marked optional may be NULL. `context` is the plugin's own and handed to each. */
typedef struct baton_table {
    size_t size;
    uint32_t abi;          /* BATON_ABI as the plugin was compiled with */
    const char *name;      /* what this plugin is, for people */
    const char *version;   /* the author's label for this code, 1 to 63 printable characters */
    void *context;

    /* Begin with `start->state`, made by this or another version, or with none. 0 is success;
     * anything else refuses (say why with `host->refuse`). During an upgrade it is called while
     * the old version still serves, with a copy of the state, so that a migration that cannot work
     * is found before anything stops; if the state changed since, `stop` and `start` follow
     * once more with the last one. A state that was taken must come out again: `snapshot` is
     * called after it, and a state that is too large, or none, refuses too. */
    int (*start)(void *context, const baton_host *host, baton_call *call, const baton_start *start);

    /* One message. */
    int (*handle)(void *context, const baton_host *host, baton_call *call, baton_bytes message);

    /* Optional: hand the whole state to `host->state`. Nonzero: it cannot, and the process is ended.
     * Left out, the service has no state. */
    int (*snapshot)(void *context, const baton_host *host, baton_call *call);

    /* Optional: release what `start` took. */
    void (*stop)(void *context, const baton_host *host, baton_call *call);

    /* Since Baton 0.2. A table that ends before these, as its `size` says, declares nothing. */

    /* The format of the state that `snapshot` hands over, a number of the author's own that grows
     * with each change of format; 0: not declared. Unlike `version` it is for the host to compare. */
    uint32_t state_version;
    /* The formats that `start` can take, from the first to the last; its own is one of them. 0 and
     * 0: not declared, and only `start` can tell. Where both sides are declared, an upgrade that
     * cannot work is refused before anything stops, and a rollback knows whether this version can
     * take the state that the newer one has made. */
    uint32_t takes_from;
    uint32_t takes_to;
} baton_table;

/* The one function that a plugin exports: its table, valid for the life of the process, or NULL
 * if it cannot work with `host_abi`. */
typedef const baton_table *(*baton_service_function)(uint32_t host_abi);
BATON_EXPORT const baton_table *baton_service(uint32_t host_abi);

#ifdef __cplusplus
}
#endif
#endif
