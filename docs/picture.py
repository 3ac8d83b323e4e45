"""Figures 2 and 3 of a run side by side, by the report's own code: the picture in README.md.

  python docs/picture.py                                    # from docs/images/r1_zero_tiny.jsonl, seed 0
  python docs/picture.py --metrics=runs/r1_zero_tiny/2_rl/metrics.jsonl --out=figures.png

docs/images/r1_zero_tiny.jsonl holds, of the run's metrics.jsonl, what these two figures are drawn from.
"""

import argparse
import dataclasses
import io
import pathlib
import sys
import tempfile

import matplotlib.image
import numpy as np

from r1jax import metrics
from r1jax.report import figures

IMAGES = pathlib.Path(__file__).resolve().parent / 'images'


def draw(rows: list[dict], task: str, out: pathlib.Path) -> None:
  """Accuracy (figure 2) and response length (figure 3) of one run, in one PNG."""
  length = next(figure for figure in figures.FIGURES if figure.name == 'length')
  length = dataclasses.replace(length, panels=length.panels[:1])  # without the share that is cut at the limit
  parts = []
  with tempfile.TemporaryDirectory() as work:
    for figure in (figures.accuracy(task), length):
      path = pathlib.Path(work) / f'{figure.name}.png'
      figures.draw(figure, [('', rows)], path, figures.LIGHT)
      parts.append(matplotlib.image.imread(path))
  height = min(part.shape[0] for part in parts)
  file = io.BytesIO()
  matplotlib.image.imsave(file, np.hstack([part[:height] for part in parts]), format='png')
  metrics.replace_file(out, file.getvalue())


def main(argv: list[str]) -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--metrics', default=IMAGES / 'r1_zero_tiny.jsonl', help="an RL stage's metrics.jsonl")
  parser.add_argument('--task', default='chain_sum')
  parser.add_argument('--out', default=IMAGES / 'r1_zero_tiny.png')
  flags = parser.parse_args(argv[1:])
  draw(metrics.read(flags.metrics), flags.task, pathlib.Path(flags.out))
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
