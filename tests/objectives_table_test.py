"""The table of what each objective reaches (docs/objectives_table.py), from records that a run would have left."""

import importlib.util
import json
import pathlib
import sys

import pytest

from r1jax import checks

import runs

ROOT = pathlib.Path(__file__).resolve().parent.parent
_SPEC = importlib.util.spec_from_file_location('objectives_table', ROOT / 'docs/objectives_table.py')
made = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made)
NAMES = list(runs.module('objectives').VARIANTS)


def write(directory, scores, tokens, final):
  """A run of two steps a rollout, evaluated behind each rollout; tokens: of each rollout."""
  rows = [{'step': 0, 'rollout': 0, 'eval/sum/pass@1': scores[0]}]
  for i, (score, n) in enumerate(zip(scores[1:], tokens)):
    plain = {'rollout': i, 'rollout/tokens': float(n), 'entropy/nats_per_token': 1.0 - i / 10, 'groups/no_signal': i / 2}
    rows += [{'step': 2 * i + 1, **plain}, {'step': 2 * i + 2, **plain, 'eval/sum/pass@1': score}]
  for place, some in (('2_rl', rows), ('3_evaluate', [
      {'step': 0, 'model': 'base', 'eval/sum/pass@1': 0.0, 'eval/sum/length_tokens': 9.0},
      {'step': 4, 'model': 'final', 'eval/sum/pass@1': final, 'eval/sum/length_tokens': 33.0}])):
    (directory / place).mkdir(parents=True)
    (directory / place / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in some))


def test_the_table_by_hand(tmp_path):
  write(tmp_path / 'grpo__seed=0', (0.2, 0.4, 0.8), (100, 300), 0.85)
  write(tmp_path / 'grpo__seed=1', (0.2, 0.7, 0.6), (200, 200), 0.75)
  write(tmp_path / 'dynamic__seed=0', (0.2, 0.6, 0.9), (200, 400), 0.95)
  write(tmp_path / 'dynamic__seed=1', (0.2, 0.3, 0.4), (100, 100), 0.45)
  default, dynamic = made.table(tmp_path, {'grpo': 'the default', 'dynamic': 'all replaced'}, 2)
  assert default['pass1'] == [0.85, 0.75] and default['steps_to'] == [4, 2] and default['sampled'] == [400, 400]
  # Three quarters of 400 tokens: two thirds of the way from 100 to 400, half of that from 200 to 400.
  assert default['at_equal_tokens'] == [pytest.approx(0.4 + 0.4 * 2 / 3), pytest.approx(0.65)]
  assert dynamic['at_equal_tokens'] == [pytest.approx(0.6 + 0.3 / 4), None] and dynamic['steps_to'] == [4, None]
  assert dynamic['tokens'] == [33, 33] and dynamic['objective'] == '`dynamic`'
  assert dynamic['entropy'] == [pytest.approx(0.95)] * 2 and dynamic['no_signal'] == [0.25] * 2
  sys.path.insert(0, str(ROOT / 'docs'))
  try:
    import tables
  finally:
    sys.path.pop(0)
  shown = tables.markdown({'columns': made.COLUMNS, 'rows': [default, dynamic]}).splitlines()
  assert shown[3].startswith('| `dynamic` | all replaced | 0.950 / 0.450 | 33.0 / 33.0 | 0.950 / 0.950 | 4 /  | 600 / 200 |')


@pytest.mark.parametrize('name', NAMES)
def test_every_objective_may_begin(name, one_device):
  """And is another one than the default, or the default itself."""
  config = runs.experiment('objectives', name)
  config.mesh = dict(data=1, fsdp=1, tensor=1, expert=1)
  checks.run(config, files=False, even=True)
  default, changed = runs.experiment('objectives', 'grpo').to_dict(), config.to_dict()
  assert (changed['rl'] == default['rl']) == (name == 'grpo')


def test_every_row_of_the_docs_has_a_run():
  """Each key of the page's table is set by a variant, but those of a file's columns."""
  text = (ROOT / 'docs/objectives.md').read_text()
  keys = {key for line in text.splitlines() if line.startswith('| `rl.')
          for key in line.split('|')[1].replace('`', '').replace(' ', '').split(',')}
  default = runs.experiment('objectives', 'grpo')
  flat = lambda config: {key: value for key, value in runs.leaves(config.rl)}
  changed = {key for name in NAMES for key, value in flat(runs.experiment('objectives', name)).items()
             if flat(default).get(key) != value}
  assert keys - {f'rl.{key}' for key in changed} == {'rl.curriculum.low', 'rl.curriculum.high'}

