"""docs/images/r1_zero_tiny.png: figures 2 and 3 of the paper side by side for r1_zero:tiny, from results/r1_zero_tiny/.

  python docs/picture.py [--metrics=WORKDIR/2_rl/metrics.jsonl] [--out=FILE.png]

FILE_dark.png beside it is the same for pages on a dark ground.
"""

import argparse
import pathlib
import sys
import tempfile

import matplotlib.image
import numpy as np

from r1jax import metrics
from r1jax.report import figures

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIGURES = (
    figures.Figure('accuracy', 'Accuracy', 'Accuracy on held-out sums against steps.',
                   (figures.Panel('Held-out accuracy', r'eval/chain_sum/(pass@1|cons@\d+)', share=True, points=True),),
                   'figure 2'),
    figures.Figure('length', 'Response length', 'Mean length of responses against steps.',
                   (figures.Panel('Mean response length, tokens', 'length/tokens'),), 'figure 3'))


def draw(rows: list[dict], out: pathlib.Path, theme: dict) -> None:
  """Both figures of one run in one PNG."""
  with tempfile.TemporaryDirectory() as work:
    parts = []
    for figure in FIGURES:
      path = pathlib.Path(work) / f'{figure.name}.png'
      figures.draw(figure, [('r1_zero:tiny', rows)], path, theme)
      parts.append(matplotlib.image.imread(path))
  height = min(part.shape[0] for part in parts)
  gap = np.broadcast_to(parts[0][0, 0], (height, 48, parts[0].shape[2]))  # of the ground's colour
  out.parent.mkdir(parents=True, exist_ok=True)
  matplotlib.image.imsave(out, np.hstack([parts[0][:height], gap, parts[1][:height]]))


def main(argv: list[str]) -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--metrics', type=pathlib.Path, default=ROOT / 'results/r1_zero_tiny/seed_1/2_rl/metrics.jsonl')
  parser.add_argument('--out', type=pathlib.Path, default=ROOT / 'docs/images/r1_zero_tiny.png')
  args = parser.parse_args(argv)
  rows = metrics.read(args.metrics)
  draw(rows, args.out, figures.LIGHT)
  draw(rows, args.out.with_name(f'{args.out.stem}_dark{args.out.suffix}'), figures.DARK)
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
