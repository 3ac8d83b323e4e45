"""The confined level, where no namespace can be had: Landlock and seccomp by hand, in the child of inside.py.

No file beyond those named, no network, no signal to others; then the filter of system calls. Standard library only.
"""

from binascii import a2b_base64
import ctypes
import os
import struct

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38

_READ = 0b1101  # execute, read file, read directory
_FILE_ONLY = 0b111 | 1 << 14 | 1 << 15  # what may be asked of a file: execute, write, read, truncate, ioctl
_HANDLED = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # ABI -> number of rights on files it knows


def confine(settings, prctl):
  """For this process and all that it starts, for ever. OSError when the kernel has no Landlock."""
  libc = ctypes.CDLL(None, use_errno=True)
  abi = libc.syscall(444, None, ctypes.c_size_t(0), 1)
  if abi < 1:
    raise OSError('no Landlock')
  rights = (1 << _HANDLED.get(abi, 16)) - 1
  attr = struct.pack('QQQ', rights, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
  ruleset = libc.syscall(444, attr, ctypes.c_size_t(8 if abi < 4 else 16 if abi < 6 else 24), 0)
  if ruleset < 0:
    raise OSError(ctypes.get_errno(), 'landlock_create_ruleset')
  # Devices are read and written, never made; what is written to may hold no device and no socket.
  everything = rights & ~(1 << 6 | 1 << 9 | 1 << 10 | 1 << 11)
  ways = ((settings['readable'], _READ), (settings['writable'], everything), (settings['devices'], 0b110))
  for paths, allowed in ways:
    for path in paths:
      fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
      allowed_here = allowed & rights & (-1 if os.path.isdir(path) else _FILE_ONLY)
      if libc.syscall(445, ruleset, 1, struct.pack('=Qi', allowed_here, fd), 0):
        raise OSError(ctypes.get_errno(), f'landlock_add_rule {path}')
      os.close(fd)
  prctl(_PR_SET_NO_NEW_PRIVS, 1)
  if libc.syscall(446, ruleset, 0):
    raise OSError(ctypes.get_errno(), 'landlock_restrict_self')
  os.close(ruleset)
  program = a2b_base64(settings['seccomp'])
  buffer = ctypes.create_string_buffer(program, len(program))
  head = struct.pack('HxxxxxxQ', len(program) // 8, ctypes.addressof(buffer))
  if libc.prctl(_PR_SET_SECCOMP, 2, head):
    raise OSError(ctypes.get_errno(), 'seccomp')
