# Opens files of /proc through which the kernel is told what to do: sysrq-trigger, core_pattern, modprobe and others.
# verdicts: WA
import os

got = False
for name in ('sysrq-trigger', 'sys/kernel/core_pattern', 'sys/kernel/modprobe', 'sys/kernel/hotplug', 'sys/kernel/sysrq', 'sys/kernel/hostname',
             'sys/kernel/randomize_va_space', 'sys/kernel/pid_max', 'sys/vm/overcommit_memory', 'sys/vm/drop_caches', 'sys/vm/panic_on_oom',
             'sys/fs/binfmt_misc/register', 'sys/fs/suid_dumpable', 'sys/fs/file-max', 'sys/net/ipv4/ip_forward', 'sys/user/max_user_namespaces',
             'irq/0/smp_affinity', 'mtrr', 'acpi/wakeup'):
  try:
    os.close(os.open(f'/proc/{name}', os.O_WRONLY))  # nothing is written
    got = True
  except OSError:
    pass
print('PWNED' if got else 'refused')
