# Opens a file of the host for writing, and makes a file beside it.
# verdicts: WA
import json
import os

given = json.loads(input())
got = False
for path, flags in ((given['secret_file'], os.O_WRONLY), (given['secret_file'] + '.attack', os.O_CREAT | os.O_WRONLY)):
  try:
    os.close(os.open(path, flags))
    got = True
  except OSError:
    pass
print('PWNED' if got else 'refused')
