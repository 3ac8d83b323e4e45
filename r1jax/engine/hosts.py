"""The processes of a run, one a host: joined, asked to stop together, and ended when one of them is lost.

A collective waits for ever for a host that is gone. So each host shows in the key-value store of JAX's coordinator that
it lives (`_Watch`), and looks at the others: one that has been silent for SILENCE seconds, or that ended with an error,
ends this one with exit code LOST and a line that names it. Then a scheduler starts all of them again. Until all have
come joining.py does the same.
"""

import atexit
import contextlib
import ctypes
import importlib.util
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Callable

import jax
from jax._src import distributed  # its client of the coordinator has no public name (as in jax.experimental's own)

from r1jax import stopping
from r1jax.engine import joining
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import profile
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

LOST = 5  # exit code
BEAT, SILENCE = joining.BEAT, joining.SILENCE
COMING = 900  # seconds in which all have to come: machines of one slice start minutes apart
_PREFIX = 'r1jax/hosts/'


def join() -> None:
  """Connects this process with the others of the run, one a host.

  JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID say which one it is, an empty address that it is alone;
  else JAX finds out for itself where the environment shows several.
  """
  address = os.environ.get('JAX_COORDINATOR_ADDRESS')
  if address:
    try:
      processes, process = (int(os.environ[name]) for name in ('JAX_NUM_PROCESSES', 'JAX_PROCESS_ID'))
    except (KeyError, ValueError) as e:
      raise UserError('JAX_COORDINATOR_ADDRESS is set, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must be numbers') from e
    log.info('hosts: process %d of %d, coordinator %s', process, processes, address)
    _join(address, processes, process)
    return
  shown = _cluster() if address is None else ''
  if not shown:
    log.info('hosts: this process alone')
    return
  log.info("hosts: as JAX's own detection finds them, for %s is set", shown)
  if shown == 'SLURM_NTASKS':
    _all_gpus_of_a_node()
  if shown == 'JOB_COMPLETION_INDEX' and importlib.util.find_spec('kubernetes') is None:
    raise UserError(f"{shown} shows an indexed job of Kubernetes, whose pods JAX finds by the package kubernetes: pip "
                    "install 'r1jax[k8s]', with a service account that may read pods and jobs; or set "
                    'JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID, the first to nothing for one pod')
  try:
    _join()
  except (OSError, ValueError, RuntimeError) as e:
    reason = str(e).partition('\n')[0]
    raise UserError(f'{shown} speaks of several processes, but JAX cannot join them ({reason}): set JAX_NUM_PROCESSES, '
                    'JAX_PROCESS_ID and JAX_COORDINATOR_ADDRESS, or the last alone to nothing for a single one') from e


def _cluster() -> str:
  """The environment variable that shows several processes as jax.distributed can join them; '' where none does."""
  env = os.environ

  def several(name: str) -> bool:
    return env.get(name, '').isdigit() and int(env[name]) > 1

  shown = {
      'TPU_WORKER_HOSTNAMES': ',' in env.get('TPU_WORKER_HOSTNAMES', ''),  # a slice of TPUs on GKE
      # JAX sets it where it finds chips. On a TPU VM only Google's metadata server knows the hosts, be it one or many.
      'TPU_ML_PLATFORM': (jax.config.jax_platforms or '').startswith('tpu')
                         and not env.keys() & {'TPU_WORKER_HOSTNAMES', 'TPU_PROCESS_ADDRESSES', 'TPU_SKIP_MDS_QUERY'},
      'MEGASCALE_NUM_SLICES': several('MEGASCALE_NUM_SLICES'),
      # srun's step; the shell of salloc and the script of sbatch have the count too, and are one process.
      'SLURM_NTASKS': 'SLURM_JOB_ID' in env and 'SLURM_STEP_NODELIST' in env and several('SLURM_NTASKS'),
      'OMPI_COMM_WORLD_SIZE': several('OMPI_COMM_WORLD_SIZE'),
      'JOB_COMPLETION_INDEX': 'KUBERNETES_SERVICE_HOST' in env and 'JOB_COMPLETION_INDEX' in env,  # an indexed job
  }
  return next((name for name, there in shown.items() if there and name in env), '')


def _all_gpus_of_a_node() -> None:
  """JAX takes one GPU a process where it finds SLURM. A process that is alone on its node has them all."""
  env = os.environ
  gpus, alone = env.get('SLURM_GPUS_ON_NODE', ''), re.fullmatch(r'1(\(x\d+\))?', env.get('SLURM_TASKS_PER_NODE', ''))
  if alone and gpus.isdigit() and int(gpus) > 1 and 'JAX_LOCAL_DEVICE_IDS' not in env:
    env['JAX_LOCAL_DEVICE_IDS'] = ','.join(map(str, range(int(gpus))))
    log.info('hosts: one process on this node, with all its %s GPUs', gpus)


def _join(*args) -> None:
  global _watching
  # JAX's own handler of SIGTERM would take the place of ours, and its agreement counts the steps of checkpoints.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    with joining.Look(_lose):
      jax.distributed.initialize(*args, initialization_timeout=COMING)
  except RuntimeError as e:
    if not re.search('DEADLINE_EXCEEDED|UNAVAILABLE|heartbeat', str(e)):
      raise
    _lose(f'not all hosts have come: {str(e).splitlines()[0][:200]}')
  state = distributed.global_state  # not jax.process_count(): that starts the devices, where hosts wait for one another
  if state.num_processes > 1:
    if state.process_id == 0:
      log.info('hosts: all %d have come', state.num_processes)
    _watching = _Watch(state.process_id, state.num_processes)
    _watching.start()


_watching: '_Watch | None' = None


def several() -> bool:
  """Whether this process has joined others."""
  return _watching is not None


# --- asked to stop


def stop_asked() -> bool:
  """Whether the run was asked to stop (SIGTERM to any of its hosts), with one answer on all of them, which call this at
  the same places. It is no collective: hosts agree behind its back from which call on it is true."""
  return stopping.requested.is_set() if _watching is None else _watching.stop_asked()


def stop_heard() -> bool:
  """Whether any host was asked to stop, as far as this one has heard: for what each does by itself, at a pace of its
  own. Where hosts meet again they agree by any_process."""
  return stopping.requested.is_set() or (_watching is not None and _watching.asked_at is not None)


def stop_due(grace: float) -> bool:
  """Whether to stop in the middle of a step: `grace` seconds after stop_asked, in which short ones end by themselves.
  One answer on all hosts."""
  if not stop_asked():
    return False
  since = stopping.requested.at or (_watching and _watching.asked_at) or time.monotonic()
  return mesh_lib.any_process(time.monotonic() - since >= grace)


def leave_if_due(grace: float, doing: str) -> None:
  """Raises Stopped where stop_due says so."""
  if stop_due(grace):
    raise stopping.Stopped(f'stopped while {doing}')


# --- lost


class _Watch:
  """Shows the others that this host lives, and looks at whether they do."""

  def __init__(self, me: int, hosts: int):
    self._me, self._hosts, self._client = me, hosts, distributed.global_state.client
    self.silence = SILENCE
    self._names: dict[int, str] = {}
    # Of each: its last sign, and when it came here. All have joined, so all are known to have lived.
    self._heard: dict[int, tuple[str, float]] = {i: ('', time.monotonic()) for i in range(hosts)}
    self._reached = time.monotonic()  # the coordinator
    self._ended: dict[int, tuple[str, float]] = {}  # of those that failed: what they said, and when it came here
    self._said_lost, self.asked_at = '', None  # what the coordinator's host says; when this one heard of SIGTERM
    self._over = threading.Event()
    self._lock, self._calls, self._stop_at = threading.Lock(), 0, None  # of stop_asked: so far, and when it is true

  def start(self) -> None:
    if self._me:
      _handle_abort(self._coordinator_gone)
    self._threads = [threading.Thread(target=work, name='hosts', daemon=True) for work in (self._talk, self._look)]
    for thread in self._threads:
      thread.start()

  def _coordinator_gone(self) -> None:
    """Ends this process with LOST if nobody listens at the coordinator's address any more."""
    host, _, port = distributed.global_state.coordinator_address.rpartition(':')
    try:
      socket.create_connection((host.strip('[]'), int(port)), timeout=2).close()
    except OSError:
      _lose(f'{self._name(0)}, the coordinator, is gone')

  def stop_asked(self) -> bool:
    with self._lock:
      self._calls += 1
      return self._stop_at is not None and self._calls >= self._stop_at

  def close(self) -> None:
    """Its threads end; a call to the coordinator that does not return is left alone."""
    self._over.set()
    for thread in self._threads:
      thread.join(BEAT)

  def leave(self, line: str) -> None:
    """Tells the others that this host has failed."""
    self._over.set()
    self._set('ended', line)

  def _set(self, what: str, text: str) -> None:
    self._client.key_value_set(f'{_PREFIX}{what}/{self._me}', text, allow_overwrite=True)

  def _all(self, what: str) -> dict[int, str]:
    return {int(key.rpartition('/')[2]): text for key, text in self._client.key_value_dir_get(f'{_PREFIX}{what}/')}

  def _talk(self) -> None:
    beat, told, next_ = 0, False, 0.0
    while not self._over.wait(0.2):
      try:
        if stopping.requested.is_set() and not told:
          self._set('asked', '')
          told, next_ = True, 0.0
        if time.monotonic() < next_:
          continue
        if not beat:
          self._set('names', socket.gethostname())
        self._set('beats', str(beat))
        self._listen()
        beat, next_ = beat + 1, time.monotonic() + (BEAT if len(self._names) == self._hosts else BEAT / 10)
        if self._stop_at is None and self._all('asked'):
          self.asked_at = self.asked_at or time.monotonic()
          self._agree()
      except Exception as e:  # pylint: disable=broad-except  the coordinator does not answer: _look counts the seconds
        log.debug('hosts: %s', e)

  def _listen(self) -> None:
    if len(self._names) < self._hosts:
      self._names = self._all('names')
    now = time.monotonic()
    for i, sign in self._all('beats').items():
      if self._heard.get(i, ('', 0.0))[0] != sign:
        self._heard[i] = sign, now
    for i, line in self._all('ended').items():
      self._ended.setdefault(i, (line, now))
    self._said_lost = self._said_lost or next(iter(self._all('lost').values()), '')
    self._reached = now

  def _agree(self) -> None:
    """The call of stop_asked that is true first: one more than any host has made. None makes another meanwhile."""
    with self._lock:
      found = {}
      while len(found) < self._hosts and not self._over.wait(0.05):
        try:
          self._set('calls', str(self._calls))
          self._set('beats', f'agrees at {time.monotonic()}')
          self._listen()
          found = self._all('calls')
        except Exception as e:  # pylint: disable=broad-except  what this host has said holds: no call until all have
          log.debug('hosts: %s', e)
      if found:
        self._stop_at = max(map(int, found.values())) + 1

  def lost(self) -> str:
    """Says which host is lost, and how it is known; '' while none is."""
    now = time.monotonic()
    if self._said_lost:
      return self._said_lost
    for i, (line, when) in list(self._ended.items()):
      if i != self._me and now - when > 2 * BEAT:  # what ended it may end this one too, with its own line
        return f'{self._name(i)} has ended: {line}'
    if now - self._reached > self.silence:
      return f'{self._name(0)}, the coordinator, has not answered for {self.silence:.0f} s'
    for i, (_, when) in list(self._heard.items()):
      if now - when > self.silence:
        return f'{self._name(i)} has not been heard for {self.silence:.0f} s'
    return ''

  def _name(self, i: int) -> str:
    return f'host {i} ({self._names[i]})' if i in self._names else f'host {i}'

  def _look(self) -> None:
    last = time.monotonic()
    while not self._over.wait(0.5):
      now = time.monotonic()
      if now - last > 2 * BEAT:  # it is this process that stood still, and has not listened
        self._over.wait(2 * BEAT)
      last = time.monotonic()
      said = self.lost()
      if said and not self._over.is_set():
        if not self._me:  # whose connections the others take for the coordinator's end: they read it first
          with contextlib.suppress(Exception):
            self._set('lost', said)
            time.sleep(2 * BEAT)
        _lose(said)


def _lose(said: str) -> None:
  end_now(f'{said}: this run has lost a host; the same command goes on', LOST)


def _handle_abort(gone: Callable[[], None]) -> None:
  """JAX's client of the coordinator aborts the process, with a stack of C++, when the other side is gone (its callback
  cannot be given: jaxlib 0.10 and 0.11 cannot pass its argument to Python). gone() then has the last word."""
  global _handler
  c = ctypes.CDLL(None)

  def handle(number: int) -> None:
    gone()
    c.signal(number, None)  # SIG_DFL: it is about something else, and goes on

  _handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(handle)
  c.signal(signal.SIGABRT, _handler)


_handler = None  # C has no reference of its own


def end_now(line: str, code: int) -> None:
  """Ends this process without waiting for its threads; a trace that runs has five seconds to be written."""
  profile.end_all(within=5.0)
  print(f'r1jax: {line}', file=sys.stderr)
  _flush()
  os._exit(code)  # threads wait for a host that will not come, and so would every handler of an orderly exit


def _flush() -> None:
  for stream in (sys.stdout, sys.stderr):
    stream.flush()


def run(main, argv: list[str]) -> int:
  """main(argv), a command's; of several hosts one that fails ends the others too, whatever they wait for."""
  try:
    code = main(argv)
  except Exception as e:  # pylint: disable=broad-except
    if _watching is None:
      raise
    if _of_the_runtime(e):  # perhaps of a collective whose other side is gone
      _watching.silence = 4 * BEAT
      end = time.monotonic() + 6 * BEAT
      while time.monotonic() < end:  # _look ends this process as soon as it knows which
        time.sleep(0.5)
    traceback.print_exc()
    code = 1
  if _watching is not None:
    _part(code) if code in (0, 130, 143) else _leave(code)
  return code


def _of_the_runtime(e: Exception) -> bool:
  """Whether XLA, or what it talks to others with, has raised it."""
  status = r'(UNKNOWN|INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|CANCELLED|FAILED_PRECONDITION|NOT_FOUND): '
  return type(e).__name__ in ('XlaRuntimeError', 'JaxRuntimeError') or bool(re.match(status, str(e)))


def _part(code: int) -> None:
  """Ends this process when all hosts have come so far (JAX waits for them at exit), but leaves out what the interpreter
  does then: threads in C++ that come back to it (the coordinator's client has some) would abort a run that is done."""
  _watching.close()
  atexit._run_exitfuncs()
  _flush()
  os._exit(code)


def _leave(code: int) -> None:
  """Ends this process without waiting for the others, which are told."""
  try:
    _watching.leave(f'exit code {code}, its own line above or in its log says why')
    if jax.process_index() == 0:
      time.sleep(5 * BEAT)  # the others read it here, and wait for a line of their own first
  except Exception:  # pylint: disable=broad-except  there is nobody to tell
    pass
  _flush()
  os._exit(code)
