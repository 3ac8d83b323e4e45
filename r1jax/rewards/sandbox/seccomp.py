"""The system calls that a program may make, as a BPF filter for bubblewrap or prctl; libseccomp knows their numbers.

A list of what is allowed, so that a call which is new tomorrow is refused: ENOSYS for what is not named, EPERM for what
programs ask about and can do without. Calls of another architecture (32-bit, x32) kill the program.
"""

import errno
import functools
import tempfile

ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek open openat creat close close_range dup
dup2 dup3 fcntl flock fsync fdatasync sync_file_range ftruncate truncate fallocate fadvise64 readahead sendfile splice
tee copy_file_range pipe pipe2
stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getdents getdents64
getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat umask
chmod fchmod fchmodat fchmodat2 utime utimes utimensat futimesat
munmap mremap mprotect madvise brk msync mincore mlock munlock mlock2 mlockall munlockall membarrier
process_mrelease pkey_alloc pkey_free pkey_mprotect
fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill rt_sigaction rt_sigprocmask
rt_sigreturn rt_sigsuspend rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack pause alarm
signalfd signalfd4 pidfd_open pidfd_send_signal
getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgid getpgrp getsid setpgid setsid
capget
getrlimit setrlimit getrusage times sysinfo uname getpriority ioprio_get sched_yield
sched_getaffinity sched_getparam sched_getscheduler sched_getattr sched_get_priority_max
sched_get_priority_min sched_rr_get_interval getcpu get_mempolicy
futex futex_waitv futex_wait futex_wake futex_requeue set_robust_list get_robust_list set_tid_address rseq arch_prctl
prctl nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time getitimer setitimer timer_create
timer_settime timer_gettime timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime
select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
getrandom restart_syscall sendto recvfrom sendmsg recvmsg shutdown getsockname getpeername getsockopt setsockopt
inotify_init inotify_init1 inotify_add_watch inotify_rm_watch landlock_create_ruleset landlock_add_rule
landlock_restrict_self seccomp getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
""".split()

REFUSED = """
socket bind connect listen accept accept4 ptrace process_vm_readv process_vm_writev mount umount2 pivot_root chroot
mount_setattr open_tree move_mount fsopen fsconfig fsmount fspick unshare setns bpf perf_event_open keyctl add_key
request_key userfaultfd io_uring_setup io_uring_enter io_uring_register init_module finit_module delete_module
kexec_load kexec_file_load reboot swapon swapoff sethostname setdomainname acct quotactl settimeofday clock_settime
clock_adjtime adjtimex open_by_handle_at name_to_handle_at mknod mknodat chown lchown fchown fchownat capset
setuid setgid setgroups setresuid setresgid setreuid setregid setfsuid setfsgid personality syslog nfsservctl
lookup_dcookie iopl ioperm vhangup kcmp process_madvise pidfd_getfd move_pages migrate_pages set_mempolicy mbind
ioprio_set sched_setscheduler sched_setparam sched_setattr setxattr lsetxattr fsetxattr removexattr fanotify_init
fanotify_mark shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl mq_open mq_unlink
mq_timedsend mq_timedreceive mq_notify mq_getsetattr memfd_create socketpair io_setup io_submit io_destroy io_getevents
io_cancel modify_ldt vmsplice memfd_secret
""".split()

_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_LOW = 0xFFFFFFFF  # the half of an argument that the kernel reads
_MAP_SHARED, _MAP_ANONYMOUS, _AF_UNIX = 0x01, 0x20, 1
# TCGETS, TCSETS*, TIOCGPGRP, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: not TIOCSTI, which types for others.
_IOCTLS = (0x5401, 0x5402, 0x5403, 0x5404, 0x540F, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# Without a mount namespace: what Landlock does not cover.
_ON_ANY_FILE = ('inotify_init', 'inotify_init1', 'inotify_add_watch', 'chmod', 'fchmod', 'fchmodat', 'fchmodat2',
                'utime', 'utimes', 'utimensat', 'futimesat')


@functools.lru_cache(maxsize=None)
def program(confined: bool = False, managed: bool = False) -> bytes:
  """The filter.

  confined: without a mount namespace, where Landlock does not cover chmod and utime.
  managed: for the runtimes of Java and C#, which do not start without a socket pair, or complain aloud when they may
    not set a thread's priority: they are told that they did.
  """
  import pyseccomp

  refuse = pyseccomp.ERRNO(errno.EPERM)
  rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.ENOSYS))
  rules.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)

  def add(action, name, *args):
    try:
      number = pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)
    except (ValueError, OSError):  # another architecture's, or younger than this libseccomp
      return
    if number >= 0:
      rules.add_rule(action, name, *args)

  refused = [*REFUSED, *(_ON_ANY_FILE if confined else ())]
  for name in ALLOWED:
    if name not in refused:
      add(pyseccomp.ALLOW, name)
  spared = ('socketpair', 'sched_setscheduler') if managed else ()
  for name in refused:
    if name not in spared:
      add(refuse, name)
  masked = lambda arg, mask, value: pyseccomp.Arg(arg, pyseccomp.MASKED_EQ, mask, value)
  add(pyseccomp.ALLOW, 'clone', masked(0, _NAMESPACES, 0))  # and clone3, whose flags no filter sees, is unnamed
  # Shared memory without a file, sockets and files in memory belong to nobody's resident size:
  # a watchdog is blind to it.
  for flag in (_MAP_SHARED, _MAP_ANONYMOUS):
    add(pyseccomp.ALLOW, 'mmap', masked(3, flag, 0))
  # Of itself alone: none of these asks for more than the same uid, and whoever watches has it.
  add(pyseccomp.ALLOW, 'prlimit64', masked(0, _LOW, 0))
  add(pyseccomp.ALLOW, 'sched_setaffinity', masked(0, _LOW, 0))
  add(pyseccomp.ALLOW, 'setpriority', masked(0, _LOW, 0), masked(1, _LOW, 0))
  if managed:
    add(pyseccomp.ALLOW, 'socketpair', masked(0, _LOW, _AF_UNIX))
    add(pyseccomp.ERRNO(0), 'sched_setscheduler')
  for command in _IOCTLS:
    add(pyseccomp.ALLOW, 'ioctl', masked(1, _LOW, command))
  with tempfile.TemporaryFile() as f:
    rules.export_bpf(f)
    f.seek(0)
    return f.read()
