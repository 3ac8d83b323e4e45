"""A short run of chaos.py, and what it is that it would not let pass."""

import random
import signal

import pytest

import chaos
import hosts_test


@pytest.mark.slow  # three minutes on two cores; docs/pods.md has the last result of a long one
def test_a_kill_and_a_torn_file(tmp_path):
  said = []
  chaos.chaos(tmp_path, kills=1, torn=1, how=signal.SIGKILL, quick=True, say=said.append)
  assert said[-1].split(', ', 1)[1].startswith('1 torn files, each noticed') and int(said[-1].split()[0]) >= 1, said


@pytest.mark.slow
def test_kills_of_a_run_that_imports_its_base(tmp_path):
  source = hosts_test.published(tmp_path / 'hf')
  chaos.chaos(tmp_path, kills=4, how=signal.SIGKILL, quick=True, overrides={'base.source': source})


@pytest.mark.parametrize('said, passes', [
    ('checkpoint /a/2_rl/checkpoints/4 cannot be read (bad): moved to /a/2_rl/torn_checkpoint_4', True),
    ('/a/2_rl/checkpoints/4/params/d/x is torn: 3 bytes, written were 9', True),
    ('checkpoint /a/2_rl/checkpoints/40 cannot be read (bad)', False),
    ('checkpoint /a/2_rl/checkpoints/2 cannot be read (bad)', False),
    ('rl: resuming at step 4 of 8, from /a/2_rl/checkpoints/4', False), ('', False)])
def test_a_torn_file_of_which_nobody_speaks_is_a_fault(said, passes):
  tear = chaos.Tear('2_rl/checkpoints/4/params/d/x', '2_rl/checkpoints/4', 0)
  if passes:
    chaos.noticed(f'one line\n{said}\nanother', tear)
  else:
    with pytest.raises(chaos.Broken, match='no start has said so'):
      chaos.noticed(f'one line\n{said}\nanother', tear)


@pytest.mark.parametrize('sealed, torn', [((2, 3, 4), '4'), ((2, 3), ''), ((), '')])
def test_what_the_next_start_passes_over_is_not_torn(tmp_path, sealed, torn):
  """A checkpoint that was killed before its checksums were noted is read, and none before it."""
  (tmp_path / 'pipeline.json').write_text('{"stages": []}')
  for step in (2, 3, 4):
    place = tmp_path / '2_rl/checkpoints' / str(step)
    place.mkdir(parents=True)
    (place / 'x').write_bytes(b'0123456789')
    if step in sealed:
      (place / 'checksums.0.json').write_text('{}')
  found = chaos.Run(tmp_path, 1, {}).tear(random.Random(0))
  assert found.startswith(f'2_rl/checkpoints/{torn}/') if torn else found == ''
