/* Descriptor passing, spawning, and the syscalls that Swift cannot call: variadic or macro. */
#define _GNU_SOURCE 1
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_DESCRIPTORS = 16 };

ssize_t baton_send_frame(int socket, const void *bytes, size_t count, const int *descriptors,
                         size_t descriptor_count, int flags) {
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * MOST_DESCRIPTORS)];
        struct cmsghdr align;
    } control;
    if (descriptor_count > MOST_DESCRIPTORS) {
        errno = EINVAL;
        return -1;
    }
    if (descriptor_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * descriptor_count);
    }
    ssize_t sent;
    do sent = sendmsg(socket, &message, flags | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}

ssize_t baton_receive_frame(int socket, void *bytes, size_t room, int *descriptors,
                            size_t *descriptor_count, int flags) {
    struct iovec part = {.iov_base = bytes, .iov_len = room};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * MOST_DESCRIPTORS)];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t received;
    do received = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    size_t allowed = *descriptor_count;
    *descriptor_count = 0;
    if (received < 0) return -1;
    int too_many = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (*descriptor_count < allowed) descriptors[(*descriptor_count)++] = descriptor;
            else {
                close(descriptor);
                too_many = 1;
            }
        }
    }
    if (too_many) {
        while (*descriptor_count > 0) close(descriptors[--*descriptor_count]);
        errno = EMSGSIZE;
        return -1;
    }
    return received;
}

int baton_spawn(const char *path, char *const *arguments, char *const *environment,
                const int *sources, const int *targets, size_t count, pid_t *pid) {
    int copies[MOST_DESCRIPTORS];
    size_t made = 0;
    int failed = 0;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (count > MOST_DESCRIPTORS) return EINVAL;
    if ((failed = posix_spawn_file_actions_init(&actions)) != 0) return failed;
    if ((failed = posix_spawnattr_init(&attributes)) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return failed;
    }
    /* The child starts with every signal at its default and none blocked. */
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    /* A source may bear the number of another's target, so first copy all out of the way. */
    for (; made < count; made++) {
        copies[made] = fcntl(sources[made], F_DUPFD_CLOEXEC, 64);
        if (copies[made] < 0) {
            failed = errno;
            goto done;
        }
        if ((failed = posix_spawn_file_actions_adddup2(&actions, copies[made], targets[made])) != 0) {
            made++;
            goto done;
        }
    }
    if ((failed = posix_spawn_file_actions_adddup2(&actions, 2, 1)) != 0) goto done;
    failed = posix_spawn(pid, path, &actions, &attributes, arguments, environment);
done:
    while (made > 0) close(copies[--made]);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

int baton_peer_credentials(int socket, pid_t *pid, uid_t *uid, gid_t *gid) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return -1;
    *pid = credentials.pid;
    *uid = credentials.uid;
    *gid = credentials.gid;
    return 0;
}

int baton_peer_in_group(int socket, gid_t group) {
    gid_t groups[1024];
    socklen_t size = sizeof groups;
    pid_t pid;
    uid_t uid;
    gid_t primary;
    if (baton_peer_credentials(socket, &pid, &uid, &primary) != 0) return 0;
    if (primary == group) return 1;
    /* More than 1024 groups: ERANGE, and then the answer is no. */
    if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0) return 0;
    for (size_t i = 0; i < size / sizeof *groups; i++)
        if (groups[i] == group) return 1;
    return 0;
}

int baton_memfd(const char *name) { return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); }
int baton_seal_memfd(int descriptor, int also_writes) {
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (also_writes ? F_SEAL_WRITE : 0);
    return fcntl(descriptor, F_ADD_SEALS, seals);
}
int baton_name_thread(const char *name) { return prctl(PR_SET_NAME, name); }
int baton_is_memfd(int descriptor) { return fcntl(descriptor, F_GET_SEALS) >= 0; }
int baton_accept(int listener) {
    int descriptor;
    do descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}
int baton_die_with_parent(int parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return 0;
    return getppid() == parent;
}
void baton_die_first_of_memory(void) {
    /* Anyone may raise it. Half of the scale: far above batond, but what the operator gave counts. */
    enum { MORE = 500, MOST = 1000 };
    FILE *file = fopen("/proc/self/oom_score_adj", "r+e");
    int value = 0;
    if (file == NULL) return;
    if (fscanf(file, "%d", &value) == 1) {
        rewind(file);
        fprintf(file, "%d", value + MORE < MOST ? value + MORE : MOST);
    }
    fclose(file);
}
int baton_open_at(int directory, const char *name, int flags, unsigned mode) {
    int descriptor;
    do descriptor = openat(directory, name, flags | O_CLOEXEC, mode);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}
int baton_exchange(const char *one, const char *other) {
    return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

int baton_fcntl_int(int descriptor, int command, int argument) {
    return fcntl(descriptor, command, argument);
}
int64_t baton_eventfd_read(int descriptor) {
    uint64_t value = 0;
    ssize_t got;
    do got = read(descriptor, &value, sizeof value);
    while (got < 0 && errno == EINTR);
    if (got == sizeof value) return (int64_t)value;
    return got < 0 && errno == EAGAIN ? 0 : -1;
}
int baton_eventfd_write(int descriptor, uint64_t value) {
    ssize_t put;
    do put = write(descriptor, &value, sizeof value);
    while (put < 0 && errno == EINTR);
    return put == sizeof value || errno == EAGAIN ? 0 : -1;
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
void __tsan_acquire(void *);
void __tsan_release(void *);
void baton_lock_taken(void *lock) { __tsan_acquire(lock); }
void baton_lock_left(void *lock) { __tsan_release(lock); }
#define BATON_LOCKS_TOLD
#endif
#endif
#ifndef BATON_LOCKS_TOLD
void baton_lock_taken(void *lock) { (void)lock; }
void baton_lock_left(void *lock) { (void)lock; }
#endif
