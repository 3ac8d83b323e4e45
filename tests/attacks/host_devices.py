# Opens devices of the host: memory, kernel log, disks, virtual machines, accelerators, terminals.
# verdicts: WA
import glob
import os

paths = ['/dev/mem', '/dev/kmem', '/dev/port', '/dev/kmsg', '/dev/fuse', '/dev/kvm', '/dev/net/tun', '/dev/loop-control',
         '/dev/vhost-vsock', '/dev/userfaultfd', '/dev/rtc0', '/dev/watchdog', '/dev/hwrng', '/dev/console', '/dev/tty0', '/dev/tty']
for pattern in ('sd*', 'vd*', 'nvme*', 'loop*', 'dm-*', 'nvidia*', 'accel*', 'vfio/*', 'dri/*', 'kfd', 'input/*', 'snd/*', 'bus/usb/*/*'):
  paths += glob.glob(f'/dev/{pattern}')
got = []
for path in paths:
  try:
    os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
    got.append(path)
  except OSError:
    pass
print('PWNED' if got else 'refused')
