"""r1jax: DeepSeek-R1 in JAX. Read stages/rl.py first: it is the data-flow diagram.

  model = r1jax.load('runs/r1_zero_tiny/2_rl')  # or a Hugging Face directory, a GGUF file, OWNER/NAME of the hub
  answers = model.generate('What is 7 + 8 - 3?', samples=4)
  r1jax.score('math', answers[0].samples[0].text, {'answer': '12'})
  run = r1jax.train('r1_zero:tiny', 'runs/mine', **{'rl.steps': 40})
  r1jax.evaluate(model, 'chain_sum').scores
  r1jax.read('runs/mine').frame('metrics')
"""

import importlib
import importlib.abc
import importlib.util
import sys
import types
import typing

__version__ = '0.1.0'

# Names that others import under the path that they had before they moved into a room.
_MOVED = {'r1jax.tasks': 'r1jax.data.tasks', 'r1jax.grpo': 'r1jax.engine.grpo', 'r1jax.losses': 'r1jax.engine.losses'}

# What is imported when somebody asks for it: reading a run needs no jax.
_LAZY = {'load': 'api', 'Model': 'api', 'score': 'scoring', 'evaluate': 'evaluate', 'train': 'launch', 'Run': 'launch',
         'config': 'configs', 'read': 'frames', 'Tables': 'frames', 'UserError': 'exceptions',
         'RunStopped': 'exceptions'}

if typing.TYPE_CHECKING:
  from r1jax.api import evaluate, load, Model
  from r1jax.configs import config
  from r1jax.exceptions import RunStopped, UserError
  from r1jax.frames import read, Tables
  from r1jax.launch import Run, train
  from r1jax.scoring import score


def __getattr__(name: str):
  if name not in _LAZY:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}: {", ".join(_LAZY)}')
  module = importlib.import_module(f'{__name__}.{_LAZY[name]}')
  return module if name == _LAZY[name] else getattr(module, name)


def __dir__() -> list[str]:
  return sorted({*globals(), *_LAZY})


class Command(types.ModuleType):
  """The module of a command that is called as well: r1jax.evaluate(model, tasks) is r1jax.api.evaluate."""

  def __call__(self, *args, **kw):
    return getattr(importlib.import_module('r1jax.api'), self.__name__.rpartition('.')[2])(*args, **kw)


class _Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
  """Finds a module of _MOVED where it is now, when somebody asks for it: jax is imported by nobody who does not."""

  def find_spec(self, name, path=None, target=None):
    return importlib.util.spec_from_loader(name, self) if name in _MOVED else None

  def create_module(self, spec):
    return importlib.import_module(_MOVED[spec.name])

  def exec_module(self, module):
    parent = sys.modules[module.__package__].__path__
    module.__spec__ = importlib.machinery.PathFinder.find_spec(module.__name__, parent)


sys.meta_path.append(_Moved())
