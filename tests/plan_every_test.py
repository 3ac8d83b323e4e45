"""plan --all: which plans there are, when one stands, and that the table has a row for each."""

import json
import pathlib

import pytest

from r1jax import configs
from r1jax.exceptions import UserError
from r1jax.plan import chips
from r1jax.plan import every
from r1jax.plan import fit
from r1jax.plan import phases as phases_lib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = json.loads((ROOT / every.FILE).read_text())
PAIRS = list(every.pairs())
GIB = 1 << 30


def entry(stage: str, phase: str, gib: float | None, available: float = 16.0) -> dict:
  return {'stage': stage, 'phase': phase, 'compiled': gib is not None, 'fits': gib is not None and gib <= available,
          'hbm_bytes': {'total': None if gib is None else gib * GIB, 'available': available * GIB, 'params': 1}}


def test_the_table_has_a_row_for_each_config_and_topology_that_is_named():
  """python -m r1jax.plan --all --write: rows first, plans as they come; none that was planned is refused."""
  rows = [(row['config'], row['topology'], row['values']) for row in TABLE['rows']]
  chips_of = lambda p: f'{p.topology} ({chips.topology(p.topology).chips}) {p.label}'.strip()
  assert rows == [(f'`{p.config}`', chips_of(p), every.said(p.values))
                  for p in PAIRS]
  assert len(set(rows)) == len(rows)
  refused = {pair.key for pair in PAIRS if isinstance(pair.values, str)}
  assert {pair.key for pair, row in zip(PAIRS, TABLE['rows']) if row['fits'] == every.NO} == refused
  assert {row['fits'] for row in TABLE['rows']} <= {every.YES, every.NO, every.NOT_YET}


def test_what_the_issue_wants_is_named():
  topologies = {}
  for pair in PAIRS:
    topologies.setdefault(pair.config, set()).add(pair.topology)
  eight = {'v5e:2x4', 'v6e:2x4', 'v5p:2x2x2', 'h100:1x8'}
  for config in ('r1_zero:qwen2.5-0.5b', 'r1_zero:qwen2.5-3b', 'r1_zero:qwen2.5-7b', 'r1:qwen2.5-1.5b',
                 'distill:qwen-1.5b'):
    assert eight <= topologies[config], config
  gpus = {'h100:1x1', 'l4:1x1', 't4:1x1'}  # of 80, 24 and 16 GB: with all weights, or why not
  whole = {(pair.config, pair.topology) for pair in PAIRS if not pair.label}
  for config in (*(f'r1_zero:qwen2.5-{size}' for size in ('0.5b', '1.5b', '3b')), 'r1:qwen2.5-1.5b', 'distill:qwen-1.5b'):
    assert {(config, gpu) for gpu in gpus} <= whole, config
  assert {('recipes:gsm8k-0.5b', 'h100:1x1'), ('recipes:gsm8k-1.5b', 'h100:1x1')} <= whole
  adapters = {(pair.config, pair.topology) for pair in PAIRS if pair.label == 'LoRA'}
  assert adapters >= {(f'r1_zero:qwen2.5-{size}', gpu) for size in ('0.5b', '1.5b', '3b')
                      for gpu in ('h100:1x1', 'l4:1x1', 't4:1x1')}
  assert all(pair.values['lora.rank'] for pair in PAIRS if pair.label == 'LoRA')
  listed = {name for name, _ in configs.listed() if name.partition(':')[0] not in every.WITHOUT}
  assert set(topologies) == listed


@pytest.mark.parametrize('pair', [p for p in PAIRS if not isinstance(p.values, str)], ids=lambda p: p.key)
def test_a_named_topology_passes_a_plan_s_checks(pair):
  config, where = configs.config(pair.config), chips.topology(pair.topology)
  fit.apply(config, {key: value for key, value in pair.values.items() if key != chips.SHARE})
  phases_lib.by_name(config)
  phases_lib.check(config, where)


def test_a_digest_is_of_what_decides_the_memory():
  pair = every.Pair('r1_zero:qwen2.5-0.5b', 'v5e:2x4', {})
  same = every.digest(pair)
  assert every.digest(pair._replace(values={'rl.learning_rate': 1.0, 'seed': 7, 'rl.clip_high': 0.5})) == same
  for other in ({'rl.slots': 8}, {'rl.optimizer.dtype': 'bfloat16'}, {'mesh.fsdp': 8}, {'remat': 'none'},
                {'rl.kl_coef': 0.0}, {'base.model': 'qwen2.5-1.5b'}):
    assert every.digest(pair._replace(values=other)) != same, other
  assert every.digest(pair._replace(topology='v6e:2x4')) != same
  assert every.digest(pair._replace(label='again')) == same


def test_a_model_of_steps_without_a_head_is_another_plan():
  pair = every.Pair('search:prm-qwen2.5-7b', 'v5e:2x4', {})
  assert every.digest(pair._replace(values={'steps.form': 'implicit', 'steps.beta': 0.05})) != every.digest(pair)
  assert every.digest(pair._replace(values={'steps.least_auc': 0.6})) == every.digest(pair)


def test_a_row_has_the_largest_phase():
  pair = every.Pair('r1_zero:qwen2.5-0.5b', 'v5e:2x4', {'rl.slots': 8})
  row = every.row_of(pair, [entry('rl', 'prefill', 3.0), entry('rl', 'decode', 9.5), entry('rl', 'update', 6.0)])
  assert (row['largest'], row['used_gib'], row['available_gib'], row['fits']) == ('rl/decode', 9.5, 16.0, 'yes')
  assert (row['topology'], row['values'], row['phases']) == ('v5e:2x4 (8)', '`rl.slots=8`', '3')
  row = every.row_of(pair, [entry('rl', 'prefill', 3.0), entry('rl', 'decode', None)])
  assert (row['largest'], row['used_gib'], row['fits']) == ('rl/decode', None, 'no')
  assert every.row_of(pair, None)['fits'] == every.NOT_YET and set(every.row_of(pair, None)) == set(every.COLUMNS)
  assert every.row_of(pair._replace(values='17 GiB of state alone'), None)['fits'] == 'no'


@pytest.fixture
def planned(tmp_path, monkeypatch):
  """--all over two pairs and a compiler of one line; what was asked of it."""
  asked = []
  two = [every.Pair('r1_zero:qwen2.5-0.5b', 'v5e:2x4', {}), every.Pair('r1_zero:qwen2.5-3b', 'v5e:2x4', {})]

  def plan(pair):
    asked.append(pair.key)
    if len(asked) == 2:
      raise UserError(f'{pair.key}: no compiler')
    return [entry('rl', 'decode', 5.0)]

  monkeypatch.setattr(every, 'pairs', lambda only=(): iter(two))
  monkeypatch.setattr(every, 'plan', plan)
  monkeypatch.setattr(every, 'available_on', lambda pair: 16 * GIB)
  return tmp_path / 'plans_all.json', asked, two


def test_it_goes_on_where_it_stopped(planned, capsys):
  path, asked, two = planned
  assert every.main(['--all', '--write', f'--file={path}']) == 2  # the second could not be planned
  assert 'no compiler' in capsys.readouterr().err
  assert [row['fits'] for row in json.loads(path.read_text())['rows']] == ['yes', every.NOT_YET]
  assert every.main(['--all', '--write', f'--file={path}']) == 0
  assert asked == [two[0].key, two[1].key, two[1].key]
  text = path.read_text()
  assert [row['fits'] for row in json.loads(text)['rows']] == ['yes', 'yes']
  assert every.main(['--all', '--write', f'--file={path}']) == 0 and len(asked) == 3
  assert path.read_text() == text  # nothing new: not even another date


def test_other_values_are_planned_anew(planned):
  path, asked, two = planned
  every.main(['--all', '--write', f'--file={path}'])
  two[0] = two[0]._replace(values={'rl.slots': 64})
  every.main(['--all', '--write', f'--file={path}'])
  assert asked[-2:] == [two[0].key, two[1].key]
  assert [row['values'] for row in json.loads(path.read_text())['rows']] == ['`rl.slots=64`', '']


def test_another_share_of_the_memory_is_planned_anew(planned, monkeypatch):
  path, asked, two = planned
  for _ in range(2):
    every.main(['--all', '--write', f'--file={path}'])
  monkeypatch.setattr(every, 'available_on', lambda pair: 12 * GIB if pair == two[0] else 16 * GIB)
  every.main(['--all', '--write', f'--file={path}'])
  assert asked[3:] == [two[0].key]


def test_without_write_it_says_what_is_missing(planned, capsys):
  path, asked, _ = planned
  assert every.main(['--all', f'--file={path}']) == 0
  assert '2 plans, 2 of them to be compiled' in capsys.readouterr().out and not asked and not path.exists()


def test_an_unknown_config_is_one_line(capsys):
  assert every.main(['--all', '--only=r1_zero:huge']) == 2
  assert capsys.readouterr().err.startswith('r1jax: --only=r1_zero:huge: no such config that can be planned')


@pytest.mark.slow
def test_a_plan_by_the_command_itself():
  """Of a config for this machine, which needs no package."""
  found = every.plan(every.Pair('r1_zero:tiny', 'cpu:1', {}))
  assert {entry['phase'] for entry in found} == {'prefill', 'decode', 'update'}
  assert all(entry['fits'] for entry in found)


def test_a_topology_that_none_is_planned_for_is_refused(tmp_path, capsys):
  assert every.main(['--all', '--only=distill:tiny', '--topology=v5e:9x9', f'--file={tmp_path}/plans.json']) == 2
  assert '--topology=v5e:9x9: no such config is planned for it, but for cpu:1' in capsys.readouterr().err
