"""In the box, for inside.py: what the program uses of the machine, as seen from outside it. Standard library only."""

import os

FILES = 2000  # a program that makes more is stopped; a box with more is thrown away, not cleaned


def processes_beside():
  """Processes beside this one: in the box all there are, without one those below us."""
  me, parents = os.getpid(), {}
  for name in os.listdir('/proc'):
    if name.isdigit() and int(name) != me:
      try:
        with open(f'/proc/{name}/stat', 'rb') as f:
          parents[int(name)] = int(f.read().rpartition(b')')[2].split()[1])
      except (OSError, ValueError, IndexError):
        continue
  if me == 1:
    return list(parents)
  below, grew = {me}, True
  while grew:
    more = {p for p, parent in parents.items() if parent in below} - below
    below, grew = below | more, bool(more)
  return list(below - {me})


def cpu_seconds(pid):
  """Seconds of CPU of a process, all its threads."""
  try:
    with open(f'/proc/{pid}/stat', 'rb') as f:
      fields = f.read().rpartition(b')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
  except (OSError, ValueError, IndexError):
    return 0.0


def resident_bytes(pid):
  """Bytes; of a process whose first thread has ended, as another thread tells it."""
  with open(f'/proc/{pid}/statm', 'rb') as f:
    pages = int(f.read().split()[1])
  if not pages:
    for thread in os.listdir(f'/proc/{pid}/task'):
      with open(f'/proc/{pid}/task/{thread}/statm', 'rb') as f:
        pages = max(pages, int(f.read().split()[1]))
  return pages * os.sysconf('SC_PAGE_SIZE')


def memory_bytes(pids):
  """Bytes that the program and its children hold; pages that several share are counted once where it matters."""
  total = 0
  for pid in pids:
    try:
      total += resident_bytes(pid)
    except (OSError, ValueError, IndexError):
      continue
  if len(pids) == 1 or total < 128 << 20:
    return total
  shares = 0
  for pid in pids:
    try:
      with open(f'/proc/{pid}/smaps_rollup', 'rb') as f:
        shares += next(int(line.split()[1]) << 10 for line in f if line.startswith(b'Pss:'))
    except ProcessLookupError:
      continue
    except (OSError, StopIteration):  # it hides its memory: every page of all of them counts
      return total
  return shares


def inodes_used(home):
  """Files of the box's own file system, whose bytes the kernel counts."""
  found = os.statvfs(home)
  return found.f_files - found.f_ffree


def disk_bytes(roots):
  """Bytes on disk below the places that may be written to."""
  total = count = 0
  stack = list(roots)
  while stack and count < FILES:
    try:
      with os.scandir(stack.pop()) as entries:
        for entry in entries:
          count += 1
          if entry.is_dir(follow_symlinks=False):
            stack.append(entry.path)
          else:
            total += entry.stat(follow_symlinks=False).st_blocks * 512
    except OSError:
      continue
  return total if count < FILES else 1 << 62
