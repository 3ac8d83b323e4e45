"""experiments/launch: exit codes and signals. gcloud, SLURM's commands and the Python of a host are stubs."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import launching
import pytest


# --- a host

@pytest.fixture(name='host')
def _host(tmp_path):
  """Environment of host.sh whose r1jax.main exits with the next of $CODES at each start."""
  launching.stub(tmp_path / 'venv/bin/python', '''
[ "$1" = -m ] || exit 0
echo "$*" >>"$STUB/starts"
codes=($CODES)
exit "${codes[$(($(wc -l <"$STUB/starts") - 1))]}"''')
  for extra in ('tpu', 'cuda13'):
    (tmp_path / f'venv/r1jax.{extra}').touch()
  return dict(VENV=f'{tmp_path}/venv', STUB=str(tmp_path), CODES='0')


@pytest.mark.parametrize('codes, restarts, starts, code', [
    ('0', 3, 1, 0), ('143 5 0', 3, 3, 0), ('5 2', 3, 2, 2), ('4', 3, 1, 4), ('3', 3, 1, 3), ('1', 3, 1, 1),
    ('137', 3, 1, 137), ('143 143 143 0', 2, 3, 143), ('143 0', 0, 1, 143)])
def test_exit_codes_on_a_host(host, tmp_path, codes, restarts, starts, code):
  args = [f'--workdir={tmp_path}/run', *launching.SEVEN[::2]]
  done = launching.bash('host.sh', '--extra=tpu', f'--restarts={restarts}', *args, **{**host, 'CODES': codes})
  assert done.returncode == code, done.stderr
  began = (tmp_path / 'starts').read_text().splitlines()
  assert began == [f'-m r1jax.main {launching.SEVEN[0]} --workdir={tmp_path}/run {launching.SEVEN[2]}'] * starts


def test_exit_codes_are_treated_as_documented():
  text = (launching.ROOT / 'docs/pods.md').read_text(encoding='utf-8')
  rows = re.findall(r'^\| (\d+) \|.*\| ([^|]+) \|$', text, re.MULTILINE)
  said = {int(code): then for code, then in rows}
  assert {code for code, then in said.items() if then == 'the same command again'} == {143, 5}
  assert {code for code, then in said.items() if then == 'a person'} >= {2, 3, 4}
  for code in (*said, 1, 130, 134, 137):
    done = subprocess.run(['bash', '-c', f'. experiments/launch/common.sh; goes_on {code}'], cwd=launching.ROOT,
                          check=False)
    assert (done.returncode == 0) == (code in (143, 5))


def test_a_host_hands_sigterm_on_and_waits(host, tmp_path):
  """The shell ends behind r1jax.main, with its code, and does not start it again."""
  launching.stub(tmp_path / 'venv/bin/python', '''
[ "$1" = -m ] || exit 0
trap 'touch "$STUB/asked"; sleep 0.4; touch "$STUB/saved"; exit 143' TERM
touch "$STUB/up"
while :; do sleep 0.05; done''')
  command = ['bash', 'experiments/launch/host.sh', '--extra=tpu', '--restarts=5', *launching.SEVEN]
  with subprocess.Popen(command, cwd=launching.ROOT, env=launching.environment(**host), stderr=subprocess.PIPE,
                        text=True, start_new_session=True) as process:
    try:
      launching.until((tmp_path / 'up').exists)
      process.send_signal(signal.SIGTERM)
      launching.until((tmp_path / 'asked').exists)
      process.send_signal(signal.SIGTERM)  # an impatient one: it still waits
      said = process.communicate(timeout=20)[1]
    finally:
      with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
  assert process.returncode == 143 and (tmp_path / 'saved').exists() and 'the same command' not in said


# --- SLURM

@pytest.fixture(name='cluster')
def _cluster(host, tmp_path):
  """Environment of a SLURM job whose step has a host for each of $HOSTS, which exits with that code."""
  launching.stub(tmp_path / 'bin/srun', '''
while [ "$1" != bash ]; do shift; done
highest=0
for one in $HOSTS; do
  rm -f "$STUB/starts"
  code=0
  CODES=$one "$@" || code=$?
  [ "$code" -le "$highest" ] || highest=$code
done
exit "$highest"''')
  launching.stub(tmp_path / 'bin/scontrol', 'echo "$*" >>"$STUB/scontrol"')
  launching.stub(tmp_path / 'bin/scancel', 'echo "$*" >>"$STUB/scancel"')
  return {**host, 'PATH': f'{tmp_path}/bin:{os.environ["PATH"]}', 'SLURM_JOB_ID': '7', 'SLURM_JOB_NUM_NODES': '2',
          'SLURM_SUBMIT_DIR': str(launching.ROOT)}


@pytest.mark.parametrize('hosts, before, code, again', [
    ('0 0', 0, 0, False), ('143 143', 0, 0, True), ('5 143', 3, 0, True), ('0 5', 0, 0, True),
    ('2 5', 0, 2, False), ('143 4', 0, 4, False), ('137 5', 0, 137, False), ('143 143', 50, 143, False)])
def test_a_job_is_queued_again_where_all_hosts_ask_for_it(cluster, tmp_path, hosts, before, code, again):
  args = [launching.STUDENT[0], f'--workdir={tmp_path}/run', '--topology=h100:2x8']
  done = launching.bash('slurm.sh', *args, **cluster, HOSTS=hosts, SLURM_RESTART_COUNT=str(before))
  assert done.returncode == code, done.stderr
  requeued = tmp_path / 'scontrol'
  assert requeued.exists() == again
  assert not again or requeued.read_text() == 'requeue Incomplete 7\n'


def test_a_step_that_did_not_start_is_for_a_person(cluster, tmp_path):
  launching.stub(tmp_path / 'bin/srun', 'exit 143')
  done = launching.bash('slurm.sh', launching.STUDENT[0], f'--workdir={tmp_path}/run', **cluster)
  assert done.returncode == 143 and not (tmp_path / 'scontrol').exists()


def test_a_job_of_another_size_is_an_error(cluster):
  done = launching.bash('slurm.sh', *launching.STUDENT, '--topology=h100:3x8', **cluster)
  assert done.returncode == 2 and done.stderr == ('slurm.sh: --topology=h100:3x8 has 3 hosts, and the job 2: submit it '
                                                  'with --nodes=3\n')


@pytest.mark.parametrize('ends', [True, False])
def test_before_its_time_is_up_a_job_saves_and_is_queued_again(cluster, tmp_path, ends):
  """Where the hosts do not end in time, too: it would else be over."""
  launching.stub(tmp_path / 'bin/srun', f'''
touch "$STUB/up"
until [ -e "$STUB/{'scancel' if ends else 'scontrol'}" ]; do sleep 0.02; done
mkdir -p "$STUB/run/launch/7.0"
echo 143 >"$STUB/run/launch/7.0/host.1"
exit 143''')
  args = [launching.STUDENT[0], f'--workdir={tmp_path}/run', f'--grace={1 if ends else 0.2}']
  with subprocess.Popen(['bash', 'experiments/launch/slurm.sh', *args], cwd=launching.ROOT,
                        env=launching.environment(**cluster), start_new_session=True) as process:
    try:
      launching.until((tmp_path / 'up').exists)
      process.send_signal(signal.SIGTERM)
      assert process.wait(timeout=20) == 0
      time.sleep(1.2 if ends else 0)  # one that ended in time is not queued twice
    finally:  # as SLURM ends what a batch script leaves behind
      with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
  assert (tmp_path / 'scancel').read_text() == '--signal=TERM 7\n'
  asked = (tmp_path / 'scontrol').read_text().splitlines()
  assert asked == ['requeue Incomplete 7'] * (1 if ends else len(asked)) and asked


# --- a TPU VM

@pytest.mark.parametrize('state, verbs', [
    ('READY', ['list', 'ssh', 'scp', 'ssh', 'ssh']), ('READY running', ['list', 'ssh']),
    ('', ['list', 'create', 'scp', 'ssh', 'ssh']),
    ('PREEMPTED', ['list', 'delete', 'create', 'scp', 'ssh', 'ssh']), ('CREATING', ['list'])])
def test_a_vm_is_made_where_there_is_none(tmp_path, state, verbs):
  """And one on which a run goes on is left alone."""
  state, running = state.partition(' ')[::2]
  launching.stub(tmp_path / 'bin/gcloud', 'echo "$4" >>"$STUB/verbs"; [ "$4" != list ] || echo "$STATE"\n'
                 f'case "$*" in *pgrep*) exit {0 if running else 1};; esac')
  launching.stub(tmp_path / 'bin/tar', 'exit 0')
  shutil.copytree(launching.ROOT / 'experiments', tmp_path / 'experiments')
  done = launching.bash('tpu_vm.sh', *launching.GIVEN['tpu_vm.sh'], cwd=tmp_path, STUB=str(tmp_path), STATE=state,
              PATH=f'{tmp_path}/bin:{os.environ["PATH"]}')
  assert (tmp_path / 'verbs').read_text().split() == verbs
  assert (done.returncode, done.stderr) == ((2, 'tpu_vm.sh: r1jax is CREATING: wait until it is READY, or delete it\n')
                                            if state == 'CREATING' else (0, ''))
