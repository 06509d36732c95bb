/* The sandbox a host puts on before it loads an image, since an image's constructors run in it.
 * A list of what is denied, not of what is allowed: a plugin is its author's program, not an
 * attacker's, and must be able to compute, read, use threads and memory. What is denied is what
 * would reach other processes, other services' data, or Baton itself. */
#define _GNU_SOURCE 1
#include "CLinux.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <string.h>
#include <asm/sockios.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define THIS_ARCHITECTURE 0
#endif

static int landlock(void) {
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 1) return 0;
    uint64_t writes = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                      LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                      LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                      LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                      LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;
#ifdef LANDLOCK_ACCESS_FS_REFER
    if (abi >= 2) writes |= LANDLOCK_ACCESS_FS_REFER;
#endif
    if (abi >= 3) writes |= 1ull << 14; /* LANDLOCK_ACCESS_FS_TRUNCATE */
    struct landlock_ruleset_attr attributes = {.handled_access_fs = writes};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    if (rules < 0) return 0;
    int done = syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return done ? BATON_SANDBOX_LANDLOCK : 0;
}

#define DENY(call)                                                                                 \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1),                                         \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

#define DENY_NUMBER(number)                                                                        \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1),                                           \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

/* Allowed only with the caller's own process as first argument (abort() signals itself so), or
 * with the 0 that means it; for kill that is the process group, so `also` is not 0 there. */
#define ALLOW_ONLY(call, self, also)                                                               \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 5),                                         \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),                \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (self), 2, 0),                                         \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (also), 1, 0),                                         \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),                                      \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define DENY_UNLESS_SELF(call, self) ALLOW_ONLY(call, self, self)
#define DENY_UNLESS_OWN(call, self) ALLOW_ONLY(call, self, 0)

/* Denied with any of these as second argument. */
#define DENY_WITH_SECOND(call, a, b, c)                                                            \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 6),                                         \
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),                \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (a), 2, 0),                                            \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (b), 1, 0),                                            \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (c), 0, 1),                                            \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),                                      \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define RELOAD BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))

static int seccomp(void) {
    uint32_t self = (uint32_t)getpid();
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#if defined(__x86_64__)
        /* The x32 table would offer every denied call under another number. */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
#endif
        DENY(ptrace),
        DENY(process_vm_readv),
        DENY(process_vm_writev),
        DENY(pidfd_getfd),
        DENY(pidfd_open),
        DENY(pidfd_send_signal),
        DENY(kcmp),
        DENY(socket),
        DENY(socketpair),
        DENY(connect),
        DENY(bind),
        DENY(listen),
        DENY(accept4),
        DENY(io_uring_setup),
        DENY(mount),
        DENY(umount2),
        DENY(pivot_root),
        DENY(chroot),
        DENY(unshare),
        DENY(setns),
        DENY(init_module),
        DENY(finit_module),
        DENY(delete_module),
        DENY(kexec_load),
        DENY(bpf),
        DENY(perf_event_open),
        DENY(userfaultfd),
        DENY(add_key),
        DENY(request_key),
        DENY(keyctl),
        DENY(reboot),
        DENY(swapon),
        DENY(swapoff),
        DENY(sethostname),
        DENY(setdomainname),
        DENY(execve),
        DENY(execveat),
        DENY(tkill),
        /* chmod and its kin: Landlock does not know them. */
#if defined(__x86_64__)
        DENY(chmod),
        DENY(chown),
        DENY(lchown),
        DENY(accept),
#endif
        DENY(fchmod),
        DENY(fchmodat),
        DENY(fchown),
        DENY(fchownat),
        DENY(utimensat),
        DENY(setxattr),
        DENY(fsetxattr),
        DENY_NUMBER(452), /* fchmodat2 */
        DENY_NUMBER(463), /* setxattrat and its kin */
        DENY_NUMBER(466), /* removexattrat */
        DENY(removexattr),
        DENY(fremovexattr),
        DENY(lsetxattr),
        DENY(lremovexattr),
#if defined(__x86_64__)
        DENY(utime),
        DENY(utimes),
        DENY(futimesat),
        DENY(fork),
        DENY(vfork),
#endif
        /* Other processes' priorities and limits. */
        DENY(setpriority),
        DENY(ioprio_set),
        DENY(migrate_pages),
        DENY(move_pages),
        DENY_UNLESS_OWN(prlimit64, self),
        RELOAD,
        DENY_UNLESS_OWN(sched_setscheduler, self),
        RELOAD,
        DENY_UNLESS_OWN(sched_setparam, self),
        RELOAD,
        DENY_UNLESS_OWN(sched_setattr, self),
        RELOAD,
        DENY_UNLESS_OWN(sched_setaffinity, self),
        RELOAD,
        /* Signals by way of a descriptor's owner. */
        DENY_WITH_SECOND(fcntl, F_SETOWN, F_SETOWN_EX, F_SETSIG),
        DENY_WITH_SECOND(ioctl, FIOSETOWN, SIOCSPGRP, FIOASYNC),
        /* Threads, but no processes: they would outlive the host. clone3 hides its flags in memory;
         * without it the C library falls back on clone. */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        DENY_UNLESS_SELF(kill, self),
        RELOAD,
        DENY_UNLESS_SELF(tgkill, self),
        RELOAD,
        DENY_UNLESS_SELF(rt_sigqueueinfo, self),
        RELOAD,
        DENY_UNLESS_SELF(rt_tgsigqueueinfo, self),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
    if (THIS_ARCHITECTURE == 0) return 0;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) return 0;
    return BATON_SANDBOX_SECCOMP;
}

int baton_sandbox(void) {
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
    return landlock() | seccomp();
}
