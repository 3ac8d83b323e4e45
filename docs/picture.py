"""docs/images/r1_zero_tiny.png: figures 2 and 3 of the paper for r1_zero:tiny, from results/r1_zero_tiny/.

  python docs/picture.py [--metrics=WORKDIR/2_rl/metrics.jsonl] [--out=FILE.png]
"""

import argparse
import pathlib

from r1jax import metrics
from r1jax.report import figures

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIGURE = figures.Figure(
    'r1_zero_tiny', 'R1-Zero, tiny', 'Accuracy on held-out sums, and the mean length of responses, against steps.',
    (figures.Panel('Held-out accuracy', r'eval/chain_sum/(pass@1|cons@\d+)', share=True, points=True),
     figures.Panel('Mean response length, tokens', 'length/tokens')), 'figures 2 and 3')


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--metrics', type=pathlib.Path, default=ROOT / 'results/r1_zero_tiny/seed_1/2_rl/metrics.jsonl')
  parser.add_argument('--out', type=pathlib.Path, default=ROOT / 'docs/images/r1_zero_tiny.png')
  args = parser.parse_args()
  args.out.parent.mkdir(parents=True, exist_ok=True)
  figures.draw(FIGURE, [('r1_zero:tiny', metrics.read(args.metrics))], args.out, figures.LIGHT)


if __name__ == '__main__':
  main()
