"""r1jax: DeepSeek-R1 in JAX. Read stages/rl.py first: it is the data-flow diagram."""

import importlib
import importlib.abc
import importlib.util
import sys

__version__ = '0.1.0'

# Names that others import under the path that they had before they moved into a room.
_MOVED = {'r1jax.tasks': 'r1jax.data.tasks', 'r1jax.grpo': 'r1jax.engine.grpo', 'r1jax.losses': 'r1jax.engine.losses'}


class _Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
  """Finds a module of _MOVED where it is now, when somebody asks for it: jax is imported by nobody who does not."""

  def find_spec(self, name, path=None, target=None):
    return importlib.util.spec_from_loader(name, self) if name in _MOVED else None

  def create_module(self, spec):
    return importlib.import_module(_MOVED[spec.name])

  def exec_module(self, module):
    module.__spec__ = importlib.machinery.PathFinder.find_spec(module.__name__, sys.modules[module.__package__].__path__)


sys.meta_path.append(_Moved())
