"""What goes to Weights & Biases and trackio: by stand-ins for their packages, and by the packages where they stand."""

import sys
import types

import pytest

from r1jax import metrics
from r1jax import trackers
from r1jax import values
from r1jax.exceptions import UserError

import runs


class Service(types.ModuleType):
  """A package that notes what it is called with."""

  def __init__(self, name, broken=False):
    super().__init__(name)
    self.__spec__ = types.SimpleNamespace(name=name)  # find_spec reads it
    self.calls, self._broken = [], broken

  def init(self, **kwargs):
    self.calls.append(('init', kwargs))

  def log(self, numbers, step=None):
    if self._broken:
      raise OSError('no route\nto host')
    self.calls.append(('log', step, numbers))

  def finish(self):
    self.calls.append(('finish',))

  def Table(self, columns, data):
    return ('table', columns, data)


@pytest.fixture(autouse=True)
def none_left():
  yield
  trackers._active.clear()


@pytest.mark.parametrize('name', trackers.NAMES)
def test_a_run_a_stage_with_numbers_config_and_texts(tmp_path, monkeypatch, name):
  service = Service(name)
  monkeypatch.setitem(sys.modules, name, service)
  trackers.use((name,), tmp_path / 'run', {'name': 'r1_zero_tiny', 'seed': 3})
  with metrics.Writer(tmp_path / 'base', 'base', tensorboard=False) as writer:
    writer.write(20, {'loss': 0.5, 'note': 'text', 'skipped': None})
  with metrics.Writer(tmp_path / 'rl', 'rl', tensorboard=False) as writer:
    metrics.write_samples(tmp_path / 'rl', 2, [{'id': f'q{i}', 'completion': '<think>', 'correct': True}
                                              for i in range(40)])
    writer.write(1, {'accuracy/mean': 0.25})
    writer.write(2, {'accuracy/mean': 0.5})
  with metrics.Writer(tmp_path / 'evaluate', 'evaluate', tensorboard=False) as writer:
    writer.write(2, {'model': 'final', 'eval/sums/pass@1': 0.75})
  trackers.finish()
  inits = [call[1] for call in service.calls if call[0] == 'init']
  assert len(inits) == 3 and len({kwargs.get('id', kwargs['name']) for kwargs in inits}) == 3
  assert all(kwargs['config'] == {'name': 'r1_zero_tiny', 'seed': 3} and kwargs['project'] == 'r1_zero_tiny'
             and kwargs['group'] == 'run' and kwargs['resume'] == 'allow' for kwargs in inits)
  logs = [call[1:] for call in service.calls if call[0] == 'log']
  assert logs[0] == (20, {'loss': 0.5}) and logs[1] == (1, {'accuracy/mean': 0.25})
  assert logs[2][0] == 2 and logs[2][1]['accuracy/mean'] == 0.5
  _, columns, rows = logs[2][1]['samples']
  assert len(rows) == trackers.SAMPLES and dict(zip(columns, rows[5]))['id'] == 'q5'
  assert dict(zip(columns, rows[0]))['completion'] == '<think>'
  assert logs[3] == (None, {'final/eval/sums/pass@1': 0.75})
  assert [call[0] for call in service.calls].count('finish') == 3 and service.calls[-1] == ('finish',)


def test_one_that_fails_is_switched_off_in_one_line_and_the_record_goes_on(tmp_path, monkeypatch, caplog):
  service = Service('wandb', broken=True)
  monkeypatch.setitem(sys.modules, 'wandb', service)
  trackers.use(('wandb',), tmp_path, {})
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    writer.write(1, {'loss': 0.5})
    writer.write(2, {'loss': 0.25})
  assert [row['loss'] for row in metrics.read(tmp_path / 'metrics.jsonl')] == [0.5, 0.25]
  said = [record.getMessage() for record in caplog.records]
  assert said == ['wandb is switched off for the rest of this start: OSError: no route to host']


def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path, monkeypatch):
  monkeypatch.setattr(trackers.importlib.util, 'find_spec', lambda name: None)
  with pytest.raises(UserError, match=r"pip install 'r1jax\[trackio\]'") as caught:
    trackers.use(('trackio',), tmp_path, {})
  assert '\n' not in str(caught.value)


def test_a_folder_of_the_packages_name_is_no_package(tmp_path, monkeypatch):
  """Such as the ./wandb that an earlier run left."""
  monkeypatch.delitem(sys.modules, 'wandb', raising=False)
  monkeypatch.setattr(sys, 'path', [str(tmp_path)])
  (tmp_path / 'wandb').mkdir()
  with pytest.raises(UserError, match=r"pip install 'r1jax\[wandb\]'"):
    trackers.use(('wandb',), tmp_path, {})


@pytest.mark.parametrize('value', [('wandb', 'tensorbored'), 'wandb', (3,)])
def test_a_config_that_names_another_is_refused(value):
  config = runs.experiment('r1_zero', 'tiny')
  with config.ignore_type():
    config.trackers = value
  with pytest.raises(UserError, match='trackers='):
    values.check(config)


@pytest.mark.parametrize('name', trackers.NAMES)
def test_the_package_itself_without_a_network(tmp_path, monkeypatch, name):
  """Offline, in a directory of its own."""
  monkeypatch.setenv('WANDB_MODE', 'offline')
  monkeypatch.setenv('TRACKIO_DIR', str(tmp_path / 'trackio'))
  monkeypatch.chdir(tmp_path)
  pytest.importorskip(name)  # which reads the environment
  trackers.use((name,), tmp_path / 'run', {'name': 'own', 'seed': 3})
  (tmp_path / 'run').mkdir()
  with metrics.Writer(tmp_path / 'run', 'rl', tensorboard=False) as writer:
    metrics.write_samples(tmp_path / 'run', 1, [{'id': 'q', 'completion': 'text'}])
    writer.write(1, {'loss': 0.5})
  trackers.finish()
  assert name in trackers._active, 'it failed and was switched off'
  left = [path for path in tmp_path.rglob('*') if path.suffix in ('.wandb', '.db')]
  assert left and all(path.stat().st_size for path in left)
