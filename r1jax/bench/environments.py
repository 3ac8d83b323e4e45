"""The peers' environments, made once under the work dir and kept, and their scripts run there."""

import json
import os
import subprocess
import sys

from r1jax.bench import inputs as inputs_lib
from r1jax.exceptions import UserError
from r1jax.metrics import replace_file

REQUIREMENTS = {'trl': ('torch==2.13.0', 'trl==1.16.0', 'transformers==5.23.0', 'datasets'),
                'tunix': ('google-tunix==0.1.7',)}


def python(peer: str, work: str, say) -> str:
  """The interpreter of a peer's environment, which is made where it is not there yet.

  Raises:
    UserError: its packages cannot be had.
  """
  where = os.path.join(os.path.abspath(work), 'envs', peer)
  found, whole = os.path.join(where, 'bin', 'python'), os.path.join(where, 'installed.json')
  wanted = json.dumps(REQUIREMENTS[peer]).encode()
  if os.path.exists(whole):
    with open(whole, 'rb') as f:
      if f.read() == wanted:
        return found
  say(f'{peer}: installing {", ".join(REQUIREMENTS[peer])} to {where} ...')
  install = [found, '-m', 'pip', 'install', '--quiet', *REQUIREMENTS[peer]]
  for step in ([sys.executable, '-m', 'venv', where], install):
    done = subprocess.run(step, capture_output=True, text=True, check=False)
    if done.returncode:
      said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()] or ['it said nothing']
      raise UserError(f'--peers: the environment of {peer} cannot be made: {said[-1][:300]}')
  replace_file(whole, wanted)
  return found


def command(peer: str, w, name: str, work: str, steps: int, say) -> list[str]:
  """The command that prints a peer's row; writes what it reads. w: the workload's part of the config."""
  found = inputs_lib.read(work, name)
  spec = dict(workload=name, hf=found.hf, prompts=found.prompts, texts=found.texts, bos=found.bos, samples=w.samples,
              prompt_tokens=w.prompt_tokens, max_tokens=w.max_tokens, kl_coef=w.kl_coef, learning_rate=w.learning_rate,
              steps=steps, threads=os.cpu_count() or 1, scratch=os.path.join(os.path.abspath(work), 'scratch'),
              trl=w.trl.to_dict(), tunix=w.tunix.to_dict())
  path = os.path.join(work, 'inputs', f'{name}_{peer}.json')
  replace_file(path, json.dumps(spec).encode())
  script = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'peers', f'{peer}.py')
  return [python(peer, work, say), '-P', script, path]


def variables() -> dict[str, str]:
  """Of its process: no model is asked for on a network."""
  return {'HF_HUB_OFFLINE': '1', 'TOKENIZERS_PARALLELISM': 'false', 'JAX_PLATFORMS': 'cpu'}
