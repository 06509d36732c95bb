/* echo: the C peer in the comparisons. One process, one thread, one epoll loop.
 *
 *     echo SOCKET
 *
 * Listens on the Unix socket SOCKET and gives every line back. It finds each line, as a server that
 * acts upon lines has to, and sends all whole lines of a read in one write. A line without its
 * newline waits; at the end of file it is dropped. Ends on SIGTERM and SIGINT.
 *
 * A connection is either reading or, while its reply does not fit into the socket, writing; never
 * both, so a client that does not read is not read either.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 << 10, LINE_LIMIT_BYTES = 1 << 20, EVENTS = 64 };

/* `bytes[0..<whole]` are whole lines to send, of which `sent` are sent; up to `count` follows the
 * beginning of a line. */
struct connection {
    int socket;
    bool writing;
    size_t sent, whole, count, capacity;
    char *bytes;
};

static int poller;

static void die(const char *what)
{
    fprintf(stderr, "echo: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int descriptor, uint32_t events, void *owner, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(poller, operation, descriptor, &event) < 0)
        die("epoll_ctl");
}

static void connection_close(struct connection *c)
{
    close(c->socket);
    free(c->bytes);
    free(c);
}

static void connection_open(int listener)
{
    int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0)
        return;
    struct connection *c = calloc(1, sizeof *c);
    char *bytes = malloc(BUFFER_BYTES);
    if (!c || !bytes)
        die("memory");
    *c = (struct connection){.socket = socket, .capacity = BUFFER_BYTES, .bytes = bytes};
    watch(socket, EPOLLIN, c, EPOLL_CTL_ADD);
}

/* Room for more of a line; false when it is longer than the limit. */
static bool make_room(struct connection *c)
{
    if (c->count < c->capacity)
        return true;
    if (c->capacity > LINE_LIMIT_BYTES)
        return false;
    char *bytes = realloc(c->bytes, c->capacity * 2);
    if (!bytes)
        return false;
    c->bytes = bytes;
    c->capacity *= 2;
    return true;
}

/* Finds the whole lines among the bytes from `from` on. */
static void find_lines(struct connection *c, size_t from)
{
    const char *at = c->bytes + from, *end = c->bytes + c->count;
    while ((at = memchr(at, '\n', (size_t)(end - at))))
        c->whole = (size_t)(++at - c->bytes);
}

enum sent { SENT_ALL, SENT_SOME, SENT_FAILED };

static enum sent send_lines(struct connection *c)
{
    while (c->sent < c->whole) {
        ssize_t n = send(c->socket, c->bytes + c->sent, c->whole - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN ? SENT_SOME : SENT_FAILED;
        c->sent += (size_t)n;
    }
    c->count -= c->whole;
    memmove(c->bytes, c->bytes + c->whole, c->count);
    c->sent = c->whole = 0;
    return SENT_ALL;
}

/* The connection's socket is ready for what it waits for. False: it is over. */
static bool connection_step(struct connection *c)
{
    if (!c->writing) {
        if (!make_room(c))
            return false;
        ssize_t n = recv(c->socket, c->bytes + c->count, c->capacity - c->count, 0);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        if (n == 0)
            return false; /* whatever was whole is sent */
        c->count += (size_t)n;
        find_lines(c, c->count - (size_t)n);
    }
    enum sent sent = send_lines(c);
    if (sent == SENT_FAILED)
        return false;
    if (c->writing != (sent == SENT_SOME)) {
        c->writing = !c->writing;
        watch(c->socket, c->writing ? EPOLLOUT : EPOLLIN, c, EPOLL_CTL_MOD);
    }
    return true;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        fprintf(stderr, "echo: %s: longer than a socket's path may be: use a shorter one\n", path);
        exit(64);
    }
    strcpy(address.sun_path, path);
    unlink(path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0
        || listen(listener, SOMAXCONN) < 0)
        die(path);
    return listener;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: echo SOCKET\n");
        return 64;
    }
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);

    int signals = signalfd(-1, &stop, SFD_CLOEXEC);
    int listener = listen_at(arguments[1]);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 || signals < 0)
        die("epoll, signalfd");
    watch(listener, EPOLLIN, &listener, EPOLL_CTL_ADD);
    watch(signals, EPOLLIN, &signals, EPOLL_CTL_ADD);

    for (;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            void *owner = events[i].data.ptr;
            if (owner == &signals) {
                unlink(arguments[1]);
                return 0;
            }
            if (owner == &listener)
                connection_open(listener);
            else if (!connection_step(owner))
                connection_close(owner);
        }
    }
}
