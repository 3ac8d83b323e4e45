# Opens files of /sys for writing: power, devices, modules, and control groups, one file of which is a way to root.
# verdicts: WA
import os

got = False
for start, depth in (('/sys/fs/cgroup', 7), ('/sys/kernel', 5), ('/sys/power', 4), ('/sys/module', 5), ('/sys/class', 4), ('/sys/block', 4)):
  count = 0
  for place, directories, names in os.walk(start):
    if place.count('/') >= depth or count > 3000:
      directories.clear()
    for name in names:
      count += 1
      try:
        os.close(os.open(os.path.join(place, name), os.O_WRONLY | os.O_NONBLOCK))  # nothing is written
        got = True
      except OSError:
        pass
print('PWNED' if got else 'refused')
