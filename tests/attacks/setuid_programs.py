# Starts programs that are installed with the right to become root, and looks whether they have.
# verdicts: WA
import subprocess
import time

got = False
for name in ('su', 'passwd', 'mount', 'umount', 'newgrp', 'chsh', 'gpasswd', 'sudo', 'pkexec'):
  try:
    process = subprocess.Popen([f'/usr/bin/{name}'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  except OSError:
    continue
  time.sleep(0.03)
  try:
    with open(f'/proc/{process.pid}/status') as f:
      status = f.read()
    uid = status.split('\nUid:')[1].split()[1]
    got = got or uid == '0'
  except (OSError, IndexError):
    pass
  process.kill()
  process.wait()
print('PWNED' if got else 'refused')
