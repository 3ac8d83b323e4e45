"""r1jax.metrics: what a crash, a resume, a NaN and a pipe may do to the record of a run."""

import io
import json

import numpy as np
import pytest

from r1jax import metrics
from r1jax import terminal


def steps(path, stage=None):
  return [row['step'] for row in metrics.read(path) if stage in (None, row['stage'])]


def test_write_gives_one_strict_json_line(tmp_path):
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    writer.write(3, {'loss': np.float32(0.5), 'rollout': np.int64(7), 'grad_norm': float('nan'),
                     'kl/nats_per_token': np.inf, 'model': 'base', 'ok': True})
  text = (tmp_path / 'metrics.jsonl').read_text()
  assert text.endswith('\n') and text.count('\n') == 1 and 'NaN' not in text and 'Infinity' not in text
  assert json.loads(text) == {'step': 3, 'stage': 'rl', 'loss': 0.5, 'rollout': 7, 'grad_norm': None,
                              'kl/nats_per_token': None, 'model': 'base', 'ok': True}


def test_write_takes_a_jax_scalar(tmp_path):
  jnp = pytest.importorskip('jax.numpy')
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    writer.write(jnp.int32(1), {'loss': jnp.float32(0.25)})
  assert metrics.read(tmp_path / 'metrics.jsonl') == [{'step': 1, 'stage': 'rl', 'loss': 0.25}]


def test_write_is_seen_before_close(tmp_path):
  writer = metrics.Writer(tmp_path, 'rl', tensorboard=False)
  writer.write(1, {'loss': 1.0})
  assert steps(tmp_path / 'metrics.jsonl') == [1]
  writer.close()


@pytest.mark.parametrize('values, error', [
    ({'loss': np.zeros(3)}, TypeError), ({'loss': [1.0]}, TypeError), ({'loss': object()}, TypeError),
    ({'step': 4}, ValueError), ({'stage': 'sft'}, ValueError)])
def test_write_refuses_what_is_no_row(tmp_path, values, error):
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    with pytest.raises(error, match=next(iter(values))):
      writer.write(1, values)
  assert (tmp_path / 'metrics.jsonl').read_bytes() == b''


def test_truncate_removes_later_rows_of_this_stage_only(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  with metrics.Writer(tmp_path, 'sft', tensorboard=False) as writer:
    for step in (1, 2, 9):
      writer.write(step, {'loss': 1.0})
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    for step in (1, 2, 3, 4):
      writer.write(step, {'loss': 1.0})
    writer.truncate(2)
    assert steps(path, 'rl') == [1, 2] and steps(path, 'sft') == [1, 2, 9]
    writer.write(3, {'loss': 2.0})
  assert steps(path, 'rl') == [1, 2, 3]
  assert [child.name for child in tmp_path.iterdir()] == ['metrics.jsonl']  # no temporary file stays


def test_a_torn_last_line_is_dropped_and_not_written_onto(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1, "stage": "rl"}\n{"step": 2, "sta')
  assert steps(path) == [1]
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    writer.write(2, {})
  assert steps(path) == [1, 2]


@pytest.mark.parametrize('line', ['{"step": 2, "sta', '', '[1]', '{"loss": NaN}', '\ufffd{'])
def test_read_names_file_and_line_of_a_corrupt_line(tmp_path, line):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 1}\n' + line + '\n{"step": 3}\n')
  with pytest.raises(ValueError, match=r'metrics\.jsonl, line 2'):
    metrics.read(path)


def test_read_refuses_bytes_that_are_not_utf8(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_bytes(b'{"step": 1}\n{"a": "\xff"}\n')
  with pytest.raises(ValueError, match='line 2'):
    metrics.read(path)


def test_a_line_separator_inside_a_text_does_not_split_a_row(tmp_path):
  with metrics.Writer(tmp_path, 'rl', tensorboard=False) as writer:
    writer.write(1, {'model': 'a\u2028b\nc\x85'})
  assert metrics.read(tmp_path / 'metrics.jsonl')[0]['model'] == 'a\u2028b\nc\x85'


def events(directory):
  """(step, tag, value) of every scalar, and the steps from which a new event file purges."""
  event_pb2 = pytest.importorskip('tensorboardX.proto.event_pb2')
  scalars, purges = [], []
  for path in sorted(directory.iterdir()):
    data, at = path.read_bytes(), 0
    while at < len(data):  # TFRecord: length (8), its checksum (4), the record, its checksum (4)
      size = int.from_bytes(data[at:at + 8], 'little')
      event = event_pb2.Event.FromString(data[at + 12:at + 12 + size])
      at += 16 + size
      scalars += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
      if event.HasField('session_log'):
        purges.append(event.step)
  return scalars, purges


def test_tensorboard_gets_numbers_and_a_purge_after_a_resume(tmp_path):
  writer = metrics.Writer(tmp_path, 'rl')
  writer.write(1, {'loss': 1.5, 'note': 'text'})
  writer.write(2, {'loss': float('nan'), 'rollout': 2})
  writer.write(2, {'model': 'base', 'loss': 0.5})
  writer.truncate(1)
  writer.write(2, {'loss': 0.75})
  writer.close()
  scalars, purges = events(tmp_path / 'tensorboard')
  assert sorted(scalars) == [(1, 'loss', 1.5), (2, 'base/loss', 0.5), (2, 'loss', 0.75), (2, 'rollout', 2.0)]
  assert purges == [2]
  assert len(list((tmp_path / 'tensorboard').iterdir())) == 2  # of the same second, yet none overwritten


class Terminal(io.StringIO):

  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  class Clock:
    now = 100.0
  monkeypatch.setattr(terminal.time, 'monotonic', lambda: Clock.now)
  return Clock


def test_progress_on_a_terminal_rewrites_one_line(tmp_path, clock):
  stream = Terminal()
  progress = terminal.Progress(2, 'rl', tmp_path / 'log.txt', stream)
  progress.update(1, accuracy=0.123456, length=812)
  assert stream.getvalue().startswith('\rrl 1/2  50%') and '\n' not in stream.getvalue()
  assert 'accuracy 0.1235  length 812' in stream.getvalue()
  progress.update(2)
  assert stream.getvalue().endswith('\n') and stream.getvalue().count('\n') == 1


def test_progress_in_a_file_prints_now_and_then_and_logs_always(tmp_path, clock):
  stream = io.StringIO()
  progress = terminal.Progress(100, 'rl', tmp_path / 'log.txt', stream)
  for done in range(1, 31):  # a step a second
    progress.update(done)
    clock.now += 1
  assert [line.split()[1] for line in stream.getvalue().splitlines()] == ['1/100', '11/100', '21/100']
  progress.close()
  assert stream.getvalue().splitlines()[-1].startswith('rl 30/100') and '\r' not in stream.getvalue()
  logged = (tmp_path / 'log.txt').read_text().splitlines()
  assert len(logged) == 30 and logged[0][:2] == '20' and ' rl 1/100' in logged[0]


def test_progress_in_a_file_prints_the_last_step(tmp_path, clock):
  stream = io.StringIO()
  progress = terminal.Progress(3, 'rl', None, stream)
  for done in (1, 2, 3):
    progress.update(done)
  progress.close()
  assert [line.split()[1] for line in stream.getvalue().splitlines()] == ['1/3', '3/3']


def test_time_left_follows_recent_speed_and_ignores_what_a_resume_skipped(clock):
  progress = terminal.Progress(1000, 'rl', None, io.StringIO(), window=5)
  clock.now += 300  # compilation
  progress.update(501)
  assert progress.seconds_left() is None
  for done in range(502, 512):
    clock.now += 10
    progress.update(done)
  for done in range(512, 517):  # five times as fast now
    clock.now += 2
    progress.update(done)
  assert progress.seconds_left() == pytest.approx((1000 - 516) * 2)


@pytest.mark.parametrize('seconds, text', [
    (None, '?'), (41.6, '42 s'), (200, '3 min 20 s'), (59.9, '1 min 00 s'), (18420, '5 h 07 min'),
    (273600, '3 d 04 h')])
def test_duration(seconds, text):
  assert metrics.duration(seconds) == text


def test_samples_are_written_whole_and_truncated(tmp_path):
  for step in (0, 100, 200):
    path = metrics.write_samples(tmp_path, step, [{'step': step, 'completion': 'é\n\ud800', 'reward': float('nan'),
                                                   'rewards': {'accuracy': np.float32(1)}}])
  assert path == tmp_path / 'samples' / 'step_00000200.jsonl'
  assert metrics.read(path) == [{'step': 200, 'completion': 'é\n?', 'reward': None, 'rewards': {'accuracy': 1.0}}]
  metrics.truncate_samples(tmp_path, 100)
  assert sorted(p.name for p in (tmp_path / 'samples').iterdir()) == ['step_00000000.jsonl', 'step_00000100.jsonl']
  metrics.truncate_samples(tmp_path / 'nothing here', 0)


def test_a_failed_write_leaves_the_old_samples(tmp_path):
  metrics.write_samples(tmp_path, 1, [{'completion': 'old'}])
  with pytest.raises(TypeError):
    metrics.write_samples(tmp_path, 1, [{'completion': 'new'}, {'completion': object()}])
  assert metrics.read(tmp_path / 'samples' / 'step_00000001.jsonl') == [{'completion': 'old'}]


def test_spans_add_up_and_each_second_counts_for_the_innermost(clock):
  spans, start = metrics.Clock(), clock.now
  clock.now += 1  # nobody's
  with spans.span('decode'):
    clock.now += 2
    with spans.span('judge_wait'):
      clock.now += 4
      with spans.span('decode'):
        clock.now += 8
    clock.now += 16
  with pytest.raises(ZeroDivisionError), spans.span('update'):
    clock.now += 32
    raise ZeroDivisionError
  clock.now += 64
  assert spans.lap() == {'other': 65, 'decode': 26, 'judge_wait': 4, 'update': 32}
  clock.now += 128  # laps follow each other without a gap
  with spans.span('update'):
    assert spans.lap() == {'other': 128, 'update': 0}
    clock.now += 256
  assert spans.lap() == {'update': 256, 'other': 0} and clock.now - start == 65 + 26 + 4 + 32 + 128 + 256


def test_spans_of_a_loop_that_leaves_in_the_middle(clock):
  """A generator's span is open while it is not asked: it must hold none where it yields."""
  def chunks(spans):
    for _ in range(3):
      with spans.span('decode'):
        clock.now += 1
      yield

  spans = metrics.Clock()
  for _ in chunks(spans):
    clock.now += 10
  assert spans.lap() == {'decode': 3, 'other': 30}
