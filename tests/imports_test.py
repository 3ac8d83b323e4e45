"""The house: imports go down only, hops do not know each other, an experiment is data.

Read from the sources, imports inside functions included; nothing is imported.
"""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = 'r1jax'

# Upward. A folder's name stands for all that is in it. A new module needs a place here.
LAYERS = {
    'vocabulary': {'types', 'exceptions', 'paths', 'limits', 'values', 'metrics', 'trackers', 'report', 'options', 'own',
                   'frames', 'launch', 'configs', 'terminal', 'benchmarks', 'tables', 'expect', 'disk',
                   'lock', 'stopping'},
    'models and data': {'models', 'data'},
    'rewards and engine': {'rewards', 'engine'},
    'stages': {'stages', 'errors'},
    'weights': {'convert', 'workdir', 'outputs', 'files_read'},
    'stage models': {'stage_models'},
    'checks': {'checks', 'environment', 'summary'},
    'tools': {'plan', 'bench'},
    'pipeline': {'pipeline', 'evaluate'},
    'main': {'main', 'rehearse', 'api', 'scoring', 'sweep', 'cli'},
    'servers': {'serve'},
    'package': {'__main__'},
    'harnesses': {'harness'},
}
ORDER = list(LAYERS)
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names}
EXCEPTIONS = set()


def modules() -> dict[str, pathlib.Path]:
  """Dotted name -> file, for the whole package."""
  out = {}
  for path in sorted((ROOT / PACKAGE).rglob('*.py')):
    parts = path.relative_to(ROOT).with_suffix('').parts
    out['.'.join(parts[:-1] if parts[-1] == '__init__' else parts)] = path
  return out


def imported(path: pathlib.Path, name: str, known) -> set[str]:
  """Dotted names a file imports when it runs; `from package import module` is the module."""
  out, package = set(), name if path.name == '__init__.py' else name.rpartition('.')[0]
  tree = ast.parse(path.read_text(encoding='utf-8'))
  tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and 'TYPE_CHECKING' in ast.dump(node.test))]
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      out |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      base = node.module or ''
      if node.level:
        parents = package.split('.')[:len(package.split('.')) - node.level + 1]
        base = '.'.join([*parents, base]).rstrip('.')
      out |= {f'{base}.{a.name}' if f'{base}.{a.name}' in known else base for a in node.names}
  return out


MODULES = modules()
GRAPH = {name: imported(path, name, MODULES) for name, path in MODULES.items()}
top = lambda name: name.split('.')[1] if '.' in name else ''  # 'r1jax.models.zoo' -> 'models'
EDGES = sorted({(top(a), top(b)) for a, bs in GRAPH.items() for b in bs
                if b.split('.')[0] == PACKAGE and top(a) and top(b) and top(a) != top(b)})


def test_the_sources_were_found():
  assert {'r1jax.engine.grpo', 'r1jax.models.dense', 'r1jax.rewards', 'r1jax.stages.rl'} <= MODULES.keys()
  assert ('stages', 'engine') in EDGES and ('engine', 'models') in EDGES
  assert 'r1jax.engine.grpo' in GRAPH['r1jax.stages.rl']


def test_every_module_has_a_layer():
  missing = {top(name) for name in MODULES if top(name)} - LAYER_OF.keys()
  assert not missing, f'give {sorted(missing)} a layer in LAYERS'


@pytest.mark.parametrize('a, b', EDGES)
def test_imports_go_down(a, b):
  up = ORDER.index(LAYER_OF[b]) > ORDER.index(LAYER_OF[a])
  assert not up or (a, b) in EXCEPTIONS, f'{a} ({LAYER_OF[a]}) imports {b} ({LAYER_OF[b]})'
  apart = LAYER_OF[a] != LAYER_OF[b] or LAYER_OF[a] == 'vocabulary'
  assert apart, f'{a} and {b} stand side by side: what is above them joins them'


def test_no_cycle():
  done, path = set(), []

  def visit(name):
    if name in path:
      raise AssertionError('cycle: ' + ' -> '.join(path[path.index(name):] + [name]))
    if name in done or name not in GRAPH:
      return
    path.append(name)
    for other in sorted(GRAPH[name] - {name}):
      visit(other)
    done.add(path.pop())

  for name in GRAPH:
    visit(name)


@pytest.mark.parametrize('name', ['losses', 'grpo'])
def test_arrays_and_numbers_only(name):
  """No flax, no config, no file."""
  allowed = {'jax', 'jax.numpy', 'numpy', 'math', 'functools', 'typing', 'r1jax.engine.losses'}
  assert GRAPH[f'{PACKAGE}.engine.{name}'] <= allowed


# What is handed over, not who makes it.
SHARED = {f'r1jax.models.{name}' for name in ('adapted', 'attention', 'decoder', 'layers', 'moe')}


@pytest.mark.parametrize('name', ['rollout', 'sampler', 'update', 'objective', 'params', 'choose'])
def test_what_is_handed_an_apply_function_knows_no_model(name):
  """Neither a family nor the zoo: the shapes of a cache, of a prompt's keys and of what a router counts."""
  assert {b for b in GRAPH[f'{PACKAGE}.engine.{name}'] if top(b) == 'models'} <= SHARED


def test_the_report_reads_files_only():
  for name, others in GRAPH.items():
    if top(name) == 'report':
      assert {top(b) for b in others if b.startswith(PACKAGE)} <= {'metrics', 'report', 'paths', 'exceptions', 'benchmarks'}, name
    if top(name) in ('report', 'metrics'):
      assert not {b.split('.')[0] for b in others} & {'jax', 'flax', 'optax', 'orbax'}, name


@pytest.mark.parametrize('path', sorted((ROOT / 'experiments').glob('*.py')), ids=lambda p: p.name)
def test_an_experiment_is_data(path):
  roots = {name.split('.')[0] for name in imported(path, path.stem, ())}
  assert roots <= {'ml_collections', *(p.stem for p in path.parent.glob('*.py')), *sys.stdlib_module_names}
