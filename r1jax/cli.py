"""r1jax COMMAND ...: DeepSeek-R1 in JAX.

  r1jax configs                                            every experiment, a line each
  r1jax train r1_zero:tiny --workdir=runs/r1_zero_tiny     runs it, or goes on with it
  r1jax evaluate --checkpoint=runs/r1_zero_tiny/2_rl --tasks=chain_sum --workdir=runs/evaluation
  r1jax report --workdir=runs/r1_zero_tiny

{commands}

A config is NAME:ARG of that list or a path FILE.py[:ARG]; --config.KEY=VALUE changes a value. `r1jax COMMAND --help`
says more, `r1jax --version` the version. `python -m r1jax.COMMAND` (train: r1jax.main) is the same command.
Exit codes: 0 done, 2 a person's mistake (one line says which), 3 plan: does not fit, 4 the run stopped itself, 5 a host
is lost, 143 asked to stop by SIGTERM, all saved, 130 by Ctrl-C (twice: at once).
"""

import contextlib
import difflib
import os
import runpy
import sys

from r1jax import __version__
from r1jax import configs
from r1jax.exceptions import UserError

# command -> (module, whether a config may stand behind it without --config=, what it does)
COMMANDS = {
    'train': ('main', True, "a config's stages in order, into a work dir; started again it goes on"),
    'evaluate': ('evaluate', False, "a checkpoint's pass@1, cons@K, length on tasks"),
    'serve': ('serve', False, "a checkpoint as an endpoint that speaks OpenAI's protocol"),
    'convert': ('convert', False, 'weights: import from Hugging Face or GGUF, export for transformers and vLLM'),
    'plan': ('plan', True, 'whether it fits and can start on a TPU or GPU topology, and what it will cost'),
    'rehearse': ('rehearse', True, "a pod run's own stages on this machine, with a nano model"),
    'report': ('report', False, 'the page of a run, or one that compares several'),
    'tables': ('tables', False, "the paper's tables with its numbers and ours side by side"),
    'bench': ('bench', True, 'seconds, bytes and FLOPs, beside other programs'),
    'sweep': ('sweep', True, 'one config with several values and seeds, one after another'),
    'configs': ('', False, 'the list of experiments; with NAME:ARG, every value of one'),
}


def main(argv: list[str] | None = None) -> int:
  """Runs a command, and returns the exit code."""
  argv = sys.argv if argv is None else argv
  try:
    return _run(argv[1:])
  except UserError as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2
  except KeyboardInterrupt:  # before the command has begun, or of one that has nothing to save
    print('r1jax: stopped by Ctrl-C', file=sys.stderr)
    return 130
  except BrokenPipeError:  # | head
    with contextlib.suppress(OSError):
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _run(args: list[str]) -> int:
  command, rest = (args[0], args[1:]) if args else ('--help', [])
  if command in ('--help', '-h', 'help'):
    width = max(map(len, COMMANDS))
    print(__doc__.format(commands='\n'.join(f'  {name:{width}}  {line}' for name, (_, _, line) in COMMANDS.items()))
          .strip())
    return 0
  if command == '--version':
    print(f'r1jax {__version__}')
    return 0
  if command not in COMMANDS:
    near = difflib.get_close_matches(command, COMMANDS, 1)
    raise UserError(f'no command {command!r}: ' + (f'{near[0]}? ' if near else '') + f'There are {", ".join(COMMANDS)}')
  name, takes_config, _ = COMMANDS[command]
  if command == 'configs':
    return _configs(rest)
  if takes_config:
    rest = _with_config(rest)
  sys.argv = [f'r1jax {command}', *rest]
  runpy.run_module(f'r1jax.{name}', run_name='__main__', alter_sys=True)  # ends with SystemExit
  return 0


def _with_config(args: list[str]) -> list[str]:
  """--config=NAME:ARG first, where it stands as an argument of its own: the first one, or behind options, whose values
  may be arguments too, one that is NAME:ARG of an experiment."""
  if any(arg.partition('=')[0] in ('--config', '-config') for arg in args):
    return args
  named = lambda arg: ':' in arg and arg.partition(':')[0] in configs.names()
  at = 0 if args and not args[0].startswith('-') else next((i for i, arg in enumerate(args) if named(arg)), None)
  return args if at is None else [f'--config={args[at]}', *args[:at], *args[at + 1:]]


def _configs(args: list[str]) -> int:
  if len(args) == 1 and args[0] in ('--help', '-h'):
    print('r1jax configs [NAME[:ARG]]\n\nThe experiments, those of one file, or every value of one as the flag that '
          'gives it.\n\n  r1jax configs\n  r1jax configs r1_zero\n  r1jax configs r1_zero:tiny | grep rl.')
    return 0
  if len(args) > 1 or (args and args[0].startswith('-')):
    raise UserError(f'unexpected argument {args[-1]!r}: r1jax configs [NAME[:ARG]]')
  if args and (':' in args[0] or args[0].endswith('.py')):
    print('\n'.join([*configs.lines(configs.config(args[0])), *configs.fitting(args[0])]))
    return 0
  if args:
    configs.find(args[0])
  found = list(configs.listed(*args))
  width = max(len(name) for name, _ in found)
  print('\n'.join(f'{name:{width}}  {line}' for name, line in found))
  return 0


if __name__ == '__main__':
  sys.exit(main())
