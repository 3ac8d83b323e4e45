# Opens what /proc shows of its parent: memory, environment, maps, and the pipes on which it reports.
# verdicts: WA
import glob
import os

got = False
for pid in {os.getppid(), 1}:
  for name in ('mem', 'environ', 'maps', 'auxv', 'io', 'syscall', 'pagemap'):
    try:
      with open(f'/proc/{pid}/{name}', 'rb', buffering=0) as f:
        f.read(1) if name not in ('mem', 'syscall') else None
      got = True
    except OSError:
      pass
  for name in ('mem', 'oom_score_adj', 'comm', 'coredump_filter', 'clear_refs', 'uid_map', 'setgroups'):
    try:
      os.close(os.open(f'/proc/{pid}/{name}', os.O_WRONLY))
      got = True
    except OSError:
      pass
  for path in glob.glob(f'/proc/{pid}/fd/*') + [f'/proc/{pid}/fd/{fd}' for fd in range(8)]:
    try:
      os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
      got = True
    except OSError:
      pass
print('PWNED' if got else 'refused')
