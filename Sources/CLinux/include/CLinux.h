/* CLinux: the Linux headers that Swift's Glibc module leaves out, and the few functions that
 * cannot be written in Swift: macros (cmsg), CRC instructions, the seccomp filter. */
#ifndef BATON_CLINUX_H
#define BATON_CLINUX_H

/* Only what Swift's Glibc module does not have, and no feature macros: two modules that see one
 * header differently do not go together. */
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/types.h>

/* CRC32C (Castagnoli), the polynomial of iSCSI and ext4. `seed` is the CRC of what came before,
 * or 0. By hardware where there is any. */
uint32_t baton_crc32c(uint32_t seed, const void *bytes, size_t count);
/* The same by table only; the tests compare the two. */
uint32_t baton_crc32c_table(uint32_t seed, const void *bytes, size_t count);

/* A counter that runs at a steady, high rate (the CPU's own); only differences mean something. */
static inline uint64_t baton_cycles(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t value;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return 0;
#endif
}

/* One SEQPACKET message with up to 16 descriptors. Returns bytes sent, or -1 with errno. */
ssize_t baton_send_frame(int socket, const void *bytes, size_t count, const int *descriptors,
                         size_t descriptor_count, int flags);
/* Receives one message. `descriptor_count` holds the room in `descriptors` (at most 16) and
 * receives how many came (close-on-exec set). Returns bytes, 0 at the end, -1 with errno; a cut
 * message or cut descriptors is -1 with EMSGSIZE and everything received closed. */
ssize_t baton_receive_frame(int socket, void *bytes, size_t room, int *descriptors,
                            size_t *descriptor_count, int flags);

/* Starts `path` with exactly the descriptors `sources[i]` as `targets[i]` and standard error as it
 * is; standard output goes to standard error. Everything else must be close-on-exec.
 * Returns 0 and `*pid`, or an errno. */
int baton_spawn(const char *path, char *const *arguments, char *const *environment,
                const int *sources, const int *targets, size_t count, pid_t *pid);

/* Credentials of the peer of a Unix socket. 0, or -1 with errno. */
int baton_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid);

/* Whether the peer of a Unix socket is in a group, by its primary or a further one. */
int baton_peer_in_group(int socket, gid_t group);

/* What the sandbox could put on, as bits. */
enum { BATON_SANDBOX_LANDLOCK = 1, BATON_SANDBOX_SECCOMP = 2 };
/* Puts the calling process, for good, under: no new privileges, no core file; Landlock (files may
 * be read and run, nothing written, made or removed); seccomp (no ptrace, no signals to others,
 * no sockets to be made, bound or connected, no new namespaces, mounts, modules, keys).
 * Returns the bits of what is in force, or -1 with errno. */
int baton_sandbox(void);

/* Syscalls without a wrapper that Swift can see. */
int baton_memfd(const char *name);
int baton_open_at(int directory, const char *name, int flags, unsigned mode);
/* Exchanges two names, in one step: a crash leaves the one or the other. 0, or -1 with errno. */
int baton_exchange(const char *one, const char *other);
int baton_fcntl_int(int descriptor, int command, int argument);
int baton_seal_memfd(int descriptor, int also_writes);
/* Whether a descriptor is memory, which can be read without waiting. */
int baton_is_memfd(int descriptor);
/* Names the calling thread, at most 15 bytes. */
int baton_name_thread(const char *name);
/* accept4: non-blocking, close-on-exec. */
int baton_accept(int listener);
/* The parent's death ends this process; false if the parent is gone already. */
int baton_die_with_parent(int parent);
/* When memory runs out, this process is to be ended before its parent. */
void baton_die_first_of_memory(void);
/* Waits on a futex-free eventfd: reads its counter. Returns the count, 0 if it would block, -1. */
int64_t baton_eventfd_read(int descriptor);
int baton_eventfd_write(int descriptor, uint64_t value);

/* ThreadSanitizer does not see into Swift's Mutex: it is told when one was taken, and is about to be
 * left. Without it nothing happens. */
void baton_lock_taken(void *lock);
void baton_lock_left(void *lock);

#endif
