/* load: a client that keeps a fixed number of messages outstanding, and counts and checks replies.
 *
 * One process, one thread, one epoll loop. Its own cost per message is kept small: all messages are
 * made beforehand as one block that is sent over and over in large writes, and so are the replies
 * expected: a check is one memcmp a read. The messages are numbered: a reply that is
 * missing, repeated, out of order or cut shows at its first byte.
 *
 * After the last reply it ends its side and expects the end of file, and nothing before it.
 *
 * Prints one line of JSON. Exit codes: 0 done, 1 a wrong reply or a broken connection, 64 usage,
 * 69 nobody answers at the socket, 75 nothing came for --timeout seconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "latency.h"
#include "messages.h"

static const char usage[] =
    "usage: load --socket PATH [options]\n"
    "  --depth N           messages outstanding on each connection (1)\n"
    "  --size BYTES        of each message, its newline not counted (16)\n"
    "  --seconds S         how long to send (2), or\n"
    "  --count N           how many messages to send in all\n"
    "  --connections C     (1)\n"
    "  --expect-echo       each reply is its message\n"
    "  --expect-line TEXT  each reply is TEXT; without either, replies are only counted\n"
    "  --resp SERVICE      send RESP: CALL SERVICE message (expects the echo, or --expect-line)\n"
    "  --wait S            how long to try to connect (0)\n"
    "  --timeout S         the longest time without a reply (10)\n";

enum { EXIT_WRONG = 1, EXIT_USAGE = 64, EXIT_NOBODY = 69, EXIT_TIMED_OUT = 75 };
enum { READ_BYTES = 256 << 10, EVENTS = 64 };

struct connection {
    int socket;
    bool writing; /* waits for room in its socket */
    bool ended;   /* has sent its end of file */
    uint64_t quota; /* messages to send in all */
    uint64_t sent_bytes;
    uint64_t sent_at; /* when the last message left that found none outstanding */
    size_t place;     /* in the block of requests */
    struct received received;
};

static struct {
    const char *socket, *service, *line;
    uint64_t depth, size, count, connections;
    double seconds, wait, timeout;
    bool echo;
} options = {.depth = 1, .size = 16, .connections = 1, .seconds = 2, .timeout = 10};

static struct messages messages;
static struct latency latency;
static char *input;
static int poller;

static _Noreturn void fail(int code, const char *what, const char *why)
{
    fprintf(stderr, "load: %s: %s\n", what, why);
    exit(code);
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Connections */

static void watch(struct connection *c, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, operation, c->socket, &event) < 0)
        fail(EXIT_WRONG, "epoll_ctl", strerror(errno));
}

/* Connects; while nobody listens there, or too many are in the queue, again until `deadline`. */
static int connect_until(uint64_t deadline)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(options.socket) >= sizeof address.sun_path)
        fail(EXIT_USAGE, options.socket, "longer than a socket's path may be");
    strcpy(address.sun_path, options.socket);
    for (;;) {
        int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (s >= 0 && connect(s, (struct sockaddr *)&address, sizeof address) == 0)
            return s;
        bool later = errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN;
        if (!later || now() >= deadline)
            fail(EXIT_NOBODY, options.socket, strerror(errno));
        close(s);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

/* Sends what keeps `depth` messages outstanding; at the last reply, the end of file. */
static void refill(struct connection *c, uint64_t time)
{
    uint64_t due = c->received.replies + options.depth;
    uint64_t limit = (due < c->quota ? due : c->quota) * messages.requests.item;
    bool blocked = false;
    if (c->sent_bytes == c->received.replies * messages.requests.item)
        c->sent_at = time; /* nothing was outstanding */
    while (c->sent_bytes < limit && !blocked) {
        uint64_t left = messages.requests.bytes - c->place, more = limit - c->sent_bytes;
        ssize_t n = send(c->socket, messages.requests.start + c->place, left < more ? left : more,
                         MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            fail(EXIT_WRONG, "send", strerror(errno));
        blocked = n < 0;
        if (n > 0) {
            c->sent_bytes += (uint64_t)n;
            c->place = (c->place + (uint64_t)n) % messages.requests.bytes;
        }
    }
    if (blocked != c->writing) {
        c->writing = blocked;
        watch(c, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    }
    if (c->received.replies == c->quota && !c->ended) {
        c->ended = true;
        shutdown(c->socket, SHUT_WR);
    }
}

enum arrival { NOTHING_CAME, BYTES_CAME, END_CAME };

static enum arrival receive(struct connection *c)
{
    ssize_t n = recv(c->socket, input, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return NOTHING_CAME;
    if (n < 0)
        fail(EXIT_WRONG, "recv", strerror(errno));
    if (n == 0 && !c->ended) {
        fprintf(stderr, "load: the peer closed the connection after %ju replies to %ju messages\n",
                (uintmax_t)c->received.replies,
                (uintmax_t)(c->sent_bytes / messages.requests.item));
        exit(EXIT_WRONG);
    }
    if (n == 0)
        return END_CAME;
    if (c->ended)
        fail(EXIT_WRONG, "more replies than messages", "something came after the last one");
    receive_bytes(&c->received, &messages.replies, input, (size_t)n);
    uint64_t sent = c->sent_bytes / messages.requests.item;
    bool counted = messages.replies.bytes == 0;
    if (c->received.replies > sent
        || (!counted && c->received.bytes > sent * messages.replies.item))
        fail(EXIT_WRONG, "more replies than messages", "a reply came before its message was sent");
    return BYTES_CAME;
}

/* The run */

static struct connection *connections;
static uint64_t sending_until, last_reply; /* times */

static uint64_t total_replies(void)
{
    uint64_t total = 0;
    for (uint64_t i = 0; i < options.connections; i++)
        total += connections[i].received.replies;
    return total;
}

static void open_connections(void)
{
    uint64_t deadline = now() + (uint64_t)(options.wait * 1e9);
    connections = calloc(options.connections, sizeof *connections);
    input = malloc(READ_BYTES);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || !input || poller < 0)
        fail(EXIT_WRONG, "setting up", strerror(errno));
    for (uint64_t i = 0; i < options.connections; i++) {
        struct connection *c = &connections[i];
        uint64_t share = (options.count + i) / options.connections; /* they sum up to the count */
        *c = (struct connection){.quota = options.count ? share : UINT64_MAX >> 20};
        c->socket = connect_until(deadline);
        watch(c, EPOLLIN, EPOLL_CTL_ADD);
    }
}

/* The time to send is over: what is begun is the last message of each connection. */
static void stop_sending(void)
{
    for (uint64_t i = 0; i < options.connections; i++) {
        struct connection *c = &connections[i];
        c->quota = (c->sent_bytes + messages.requests.item - 1) / messages.requests.item;
        refill(c, c->sent_at);
    }
}

static _Noreturn void timed_out(void)
{
    fprintf(stderr, "load: no reply and no end of file for %g s, after %ju replies\n",
            options.timeout, (uintmax_t)total_replies());
    exit(EXIT_TIMED_OUT);
}

/* Returns at the end of file of every connection. */
static void run(uint64_t start)
{
    uint64_t patience = (uint64_t)(options.timeout * 1e9), running = options.connections;
    bool sending = options.count == 0;
    last_reply = start;
    for (uint64_t i = 0; i < options.connections; i++)
        refill(&connections[i], start);
    while (running > 0) {
        struct epoll_event events[EVENTS];
        uint64_t time = now(), idle = time - last_reply;
        if (idle >= patience)
            timed_out();
        int ready = epoll_wait(poller, events, EVENTS, (int)((patience - idle) / 1000000) + 1);
        time = now();
        for (int i = 0; i < ready; i++) {
            struct connection *c = events[i].data.ptr;
            uint64_t before = c->received.replies;
            switch (receive(c)) {
            case NOTHING_CAME:
                break;
            case END_CAME:
                close(c->socket);
                running--;
                continue;
            case BYTES_CAME:
                if (c->received.replies > before)
                    last_reply = time;
                if (c->received.replies > before && options.depth == 1)
                    latency_record(&latency, time - c->sent_at);
            }
            refill(c, time);
        }
        if (sending && time >= sending_until) {
            sending = false;
            stop_sending();
        }
    }
}

static void print_result(double seconds)
{
    uint64_t replies = total_replies();
    printf("{\"messages\":%ju,\"seconds\":%.6f,\"per_second\":%.0f,"
           "\"depth\":%ju,\"size\":%ju,\"connections\":%ju",
           (uintmax_t)replies, seconds, seconds > 0 ? (double)replies / seconds : 0,
           (uintmax_t)options.depth, (uintmax_t)options.size, (uintmax_t)options.connections);
    if (options.depth == 1)
        printf(",\"p50_microseconds\":%.1f,\"p99_microseconds\":%.1f",
               latency_microseconds(&latency, 0.50), latency_microseconds(&latency, 0.99));
    puts("}");
}

/* Options */

static double seconds_from(const char *name, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0 && value <= 1e6))
        fail(EXIT_USAGE, name, "wants seconds, 0 to 1000000");
    return value;
}

static uint64_t number_from(const char *name, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end || value < least || value > most) {
        fprintf(stderr, "load: %s: wants a number, %ju to %ju\n", name, (uintmax_t)least,
                (uintmax_t)most);
        exit(EXIT_USAGE);
    }
    return value;
}

static void read_options(int count, char **arguments)
{
    enum { SOCKET, DEPTH, SIZE, SECONDS, COUNT, CONNECTIONS,
           ECHO, LINE, RESP, WAIT, TIMEOUT, HELP };
    static const struct option names[] = {
        {"socket", 1, 0, SOCKET},           {"depth", 1, 0, DEPTH},
        {"size", 1, 0, SIZE},               {"seconds", 1, 0, SECONDS},
        {"count", 1, 0, COUNT},             {"connections", 1, 0, CONNECTIONS},
        {"expect-echo", 0, 0, ECHO},        {"expect-line", 1, 0, LINE},
        {"resp", 1, 0, RESP},               {"wait", 1, 0, WAIT},
        {"timeout", 1, 0, TIMEOUT},         {"help", 0, 0, HELP},
        {0},
    };
    for (int name, at = 0; (name = getopt_long(count, arguments, "", names, &at)) != -1;) {
        const char *word = name == '?' ? "" : names[at].name;
        switch (name) {
        case SOCKET: options.socket = optarg; break;
        case DEPTH: options.depth = number_from(word, optarg, 1, 1 << 24); break;
        case SIZE: options.size = number_from(word, optarg, 0, 16 << 20); break;
        case SECONDS: options.seconds = seconds_from(word, optarg); break;
        case COUNT: options.count = number_from(word, optarg, 1, UINT32_MAX); break;
        case CONNECTIONS: options.connections = number_from(word, optarg, 1, 100000); break;
        case ECHO: options.echo = true; break;
        case LINE: options.line = optarg; break;
        case RESP: options.service = optarg; options.echo = true; break;
        case WAIT: options.wait = seconds_from(word, optarg); break;
        case TIMEOUT: options.timeout = seconds_from(word, optarg); break;
        case HELP: fputs(usage, stdout); exit(0);
        default: fputs(usage, stderr); exit(EXIT_USAGE);
        }
    }
    if (optind < count || !options.socket) {
        fputs(usage, stderr);
        exit(EXIT_USAGE);
    }
    if (options.service && strlen(options.service) > 63)
        fail(EXIT_USAGE, options.service, "a service's name has at most 63 characters");
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    messages = make_messages(options.size, options.service, options.line, options.echo);
    open_connections();
    uint64_t start = now();
    sending_until = start + (uint64_t)(options.seconds * 1e9);
    run(start);
    print_result((double)(last_reply - start) / 1e9);
    return 0;
}
