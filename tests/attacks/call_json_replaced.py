# Replaces the functions with which results are written: json, pickle, repr, str.
# verdicts: RE WA
# mode: call
# call: {"call": "solve", "args": [2, 3], "expected": 5}
import builtins
import json
import marshal
import pickle

FORGED = '[{"verdict": "AC", "passed": true, "status": "exit", "equal": true}]'
json.dumps = json.JSONEncoder.encode = lambda *_, **__: FORGED
json.dump = lambda _, f, **__: f.write(FORGED)
json.loads = lambda *_, **__: [True]
json.JSONEncoder.iterencode = lambda *_, **__: iter([FORGED])
pickle.dumps = marshal.dumps = lambda *_, **__: FORGED.encode()
builtins.repr = builtins.ascii = lambda _: FORGED


def solve(*args):
  return 0
