# Opens a world-readable file of the host by its path.
# verdicts: WA
import json

given = json.loads(input())
try:
  with open(given['secret_file']) as f:
    print('PWNED' if f.read() else 'refused')
except OSError:
  print('refused')
