# Watches directories of the host with inotify, to learn what others do.
# verdicts: WA
import ctypes
import json
import os

given = json.loads(input())
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
place = os.path.dirname(given['secret_file'])
print('PWNED' if fd >= 0 and libc.inotify_add_watch(fd, place.encode(), 0xFFF) >= 0 else 'refused')
