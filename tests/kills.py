"""python tests/kills.py [--r1jax=r1jax] [--kills=20] [--seed=0]

What a kill costs a user: `r1jax train r1_zero:tiny`, as installed, in an empty folder, ended by SIGKILL at random moments
and started again with the same command, until it has had so many; a run that is finished is followed by a new one. Lost
is what was done since anything was last saved, checkpoint or rollout, or since the start where nothing was. Exit 0 if
no kill lost more than LIMIT seconds, and every start after a kill went on from what was saved.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile
import time

LIMIT = 120
SLACK = 15  # of a checkpoint that is being written, beside the training
BETWEEN = 45.0, 240.0  # seconds from a start to its kill


def saved(workdir: pathlib.Path) -> tuple[float, str]:
  """When something was last saved whole, and what."""
  whole = [p for pattern in ('*/checkpoints/*/commit_success.txt', '*/rollouts/*', 'pipeline.json', '*/batches.jsonl', '*/eval/*/*.jsonl')
           for p in workdir.glob(pattern)]
  newest = max(whole, key=lambda p: p.stat().st_mtime, default=None)
  return (newest.stat().st_mtime, str(newest.relative_to(workdir))) if newest else (0.0, 'nothing')


def main() -> int:
  parser = argparse.ArgumentParser()
  parser.add_argument('--r1jax', default='r1jax', help='the command, as installed')
  parser.add_argument('--kills', type=int, default=20)
  parser.add_argument('--seed', type=int, default=0)
  a = parser.parse_args()
  rng, lost, number = random.Random(a.seed), [], 1
  with tempfile.TemporaryDirectory(prefix='r1jax_kills_') as place:
    command = [a.r1jax, 'train', 'r1_zero:tiny', '--workdir=run']
    while len(lost) < a.kills:
      folder = pathlib.Path(place) / str(number)
      folder.mkdir(exist_ok=True)
      with open(folder / 'said.txt', 'ab') as log:
        begun = time.time()
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
          code = process.wait(timeout=rng.uniform(*BETWEEN))
        except subprocess.TimeoutExpired:
          process.kill()
          process.wait()
          when, what = saved(folder / 'run')
          lost.append(time.time() - max(begun, when))
          print(f'run {number}, kill {len(lost)}: lost {lost[-1]:.0f} s, saved last: {what}', flush=True)
          continue
      if code:
        print(f'run {number} ended with {code}: {(folder / "said.txt").read_text(errors="replace")[-600:]}')
        return 1
      print(f'run {number} is finished', flush=True)
      number += 1
  print(f'{len(lost)} kills: lost {max(lost):.0f} s at most, {sum(lost) / len(lost):.0f} s on average')
  return int(max(lost) > LIMIT + SLACK)


if __name__ == '__main__':
  sys.exit(main())
