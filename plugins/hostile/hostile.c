/* A service for the tests that attacks batond: what its sandbox and the contract must withstand.
 * Told by a message:
 *
 *     sigio | prlimit | sched | fork    tries that against batond: `denied`, or `allowed`
 *     threads                           the same, with a thousand threads
 *     chmod PATH                        the same, with a file
 *     blocking-reply                    sends a descriptor that blocks as a large reply
 *     inhand                            forges the word `inHand` of the shared ring, and exits
 *     close-channel                     closes the channel to batond, and stays
 *     log-escape                        logs a terminal's escape sequence
 *     anything else is echoed */
#define _GNU_SOURCE 1
#include "baton.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The descriptors of a host: HostChannel.Number. */
enum { CHANNEL = 0, RING = 4, WAKES_SUPERVISOR = 6 };

/* The memory shared with batond: SharedRing. A word has a cache line of its own. */
enum { PAGE_BYTES = 4096, RING_BYTES = 256 << 10, WORDS_PER_LINE = 8 };
enum word { WRITTEN = 4, IN_HAND = 5 };
enum { LARGE_REPLY = 3 };

struct entry {
    uint32_t length;
    uint32_t kind;
    uint64_t sequence;
};

static baton_bytes text(const char *string)
{
    return (baton_bytes){string, strlen(string)};
}

static void hang(void)
{
    for (;;) pause();
}

static char *map_ring(void)
{
    char *ring =
        mmap(NULL, PAGE_BYTES + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, RING, 0);
    if (ring == MAP_FAILED) _exit(2);
    return ring;
}

static _Atomic uint64_t *word(char *ring, enum word word)
{
    return (_Atomic uint64_t *)ring + word * WORDS_PER_LINE;
}

/* Has the kernel send batond SIGKILL, as the owner of a pipe that becomes readable. */
static bool sends_signal_by_pipe(void)
{
    int ends[2];
    if (pipe(ends) != 0) return false;
    bool owned = fcntl(ends[0], F_SETOWN, getppid()) == 0;
    bool chosen = fcntl(ends[0], F_SETSIG, SIGKILL) == 0;
    if (owned) {
        fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK);
        if (write(ends[1], "x", 1) != 1) owned = false;
    }
    close(ends[0]);
    close(ends[1]);
    return owned || chosen;
}

static bool takes_descriptors_away(void)
{
    struct rlimit none = {0, 0};
    return prlimit(getppid(), RLIMIT_NOFILE, &none, NULL) == 0;
}

static bool slows_down(void)
{
    struct sched_param parameters = {0};
    bool scheduled = sched_setscheduler(getppid(), SCHED_IDLE, &parameters) == 0;
    bool nice = setpriority(PRIO_PROCESS, (id_t)getppid(), 19) == 0;
    return scheduled || nice;
}

/* By the C library's call, and by each of the kernel's. */
static bool changes_mode(const char *path)
{
    const long fchmodat2_number = 452;
    bool changed = chmod(path, 0777) == 0;
    changed |= syscall(SYS_fchmodat, AT_FDCWD, path, 0777) == 0;
    changed |= syscall(fchmodat2_number, AT_FDCWD, path, 0777, 0) == 0;
    return changed;
}

static bool makes_process(void)
{
    pid_t made = fork();
    if (made == 0) _exit(0);
    pid_t cloned = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (cloned == 0) _exit(0);
    return made > 0 || cloned > 0;
}

static void *rest(void *nothing)
{
    (void)nothing;
    for (;;) pause();
}

static bool makes_threads(void)
{
    for (int made = 0; made < 1000; made++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, rest, NULL) != 0) return false;
    }
    return true;
}

/* Says `large(100)` on the channel, beside it the end of a pipe that nobody writes to, and
 * publishes the entry that means it. */
static void send_blocking_reply(void)
{
    int ends[2];
    if (pipe(ends) != 0) _exit(2);
    unsigned char frame[] = {6, 100, 0, 0, 0};
    struct iovec part = {frame, sizeof frame};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control = {{0}};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &ends[0], sizeof(int));
    if (sendmsg(CHANNEL, &message, MSG_NOSIGNAL) < 0) _exit(2);

    char *ring = map_ring();
    struct entry entry = {.kind = LARGE_REPLY, .sequence = *word(ring, IN_HAND)};
    uint64_t written = *word(ring, WRITTEN);
    memcpy(ring + PAGE_BYTES + written % RING_BYTES, &entry, sizeof entry);
    *word(ring, WRITTEN) = written + sizeof entry;
    uint64_t one = 1;
    if (write(WAKES_SUPERVISOR, &one, sizeof one) < 0) _exit(2);
    hang();
}

static int start(void *context, const baton_host *host, baton_call *call, const baton_start *start)
{
    (void)context, (void)host, (void)call, (void)start;
    return 0;
}

static bool is(baton_bytes message, const char *word)
{
    return message.count == strlen(word) && memcmp(message.bytes, word, message.count) == 0;
}

/* The path after `chmod `, or false. */
static bool is_chmod(baton_bytes message, char path[256])
{
    const size_t before = strlen("chmod ");
    if (message.count <= before || message.count - before >= 256) return false;
    if (memcmp(message.bytes, "chmod ", before) != 0) return false;
    memcpy(path, (const char *)message.bytes + before, message.count - before);
    path[message.count - before] = '\0';
    return true;
}

static int handle(void *context, const baton_host *host, baton_call *call, baton_bytes message)
{
    (void)context;
    char path[256];
    bool is_allowed;

    if (is(message, "sigio")) {
        is_allowed = sends_signal_by_pipe();
    } else if (is(message, "prlimit")) {
        is_allowed = takes_descriptors_away();
    } else if (is(message, "sched")) {
        is_allowed = slows_down();
    } else if (is(message, "fork")) {
        is_allowed = makes_process();
    } else if (is(message, "threads")) {
        is_allowed = makes_threads();
    } else if (is_chmod(message, path)) {
        is_allowed = changes_mode(path);
    } else {
        if (is(message, "blocking-reply")) {
            send_blocking_reply();
        } else if (is(message, "inhand")) {
            *word(map_ring(), IN_HAND) += 3;
            _exit(1);
        } else if (is(message, "close-channel")) {
            close(CHANNEL);
            hang();
        } else if (is(message, "log-escape")) {
            host->log(call, BATON_INFO, text("\033[31mred\033[0m"));
        }
        host->reply(call, message);
        return BATON_UNCHANGED;
    }
    host->reply(call, text(is_allowed ? "allowed" : "denied"));
    return BATON_UNCHANGED;
}

__attribute__((used)) static const baton_table table = {
    .size = sizeof(baton_table),
    .abi = BATON_ABI,
    .name = "hostile",
    .version = "1",
    .start = start,
    .handle = handle,
};

const baton_table *baton_service(uint32_t host_abi)
{
    (void)host_abi;
    return &table;
}
