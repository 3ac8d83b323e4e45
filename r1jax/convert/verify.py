"""export --check: an exported directory is loaded by transformers, and by vLLM where it is installed, and asked.

What is compared is the checkpoint itself, rounded as it was written, computed by models/, not what import makes of the
export: a fault that the way there and the way back share would show.
"""

import importlib.util
import logging
import os

import jax
import jax.numpy as jnp
import numpy as np

from r1jax.engine import mesh as mesh_lib
from r1jax.engine import precision
from r1jax.exceptions import UserError
from r1jax.stages import common

log = logging.getLogger('r1jax')

LIMIT = 1e-3  # of the largest logit: another order of sums, in float32, is some 1e-6
TEXTS = ('What is 12 + 7?', 'The quick brown fox jumps over the lazy dog.\n\n  1, 2, 3:', 'é 日本 <think> x </think>')
NEAR = 0.02  # of the largest logit: vLLM computes in bfloat16, where near ties may fall either way
NEW = 8  # tokens that vLLM is asked for


def ready() -> None:
  """Raises UserError where there is nothing to check with, before anything is written."""
  missing = [name for name in ('torch', 'transformers') if importlib.util.find_spec(name) is None]
  if missing:
    raise UserError(f"--check needs {' and '.join(missing)}: pip install 'r1jax[parity]', or leave it out")


def check(checkpoint_dir: str, out: str, dtype: str) -> list[str]:
  """What was found, a line each.

  Args:
    checkpoint_dir: a checkpoint of ours, `out`: what was exported of it, its weights in `dtype`.

  Raises:
    UserError: another program reads something else there.
  """
  model, tokenizer, step_dir = common.load_model(checkpoint_dir)
  asked = [tokenizer.encode_prompt(text)[:model.config.max_length // 2] for text in TEXTS]
  wanted = _logits(model, step_dir, asked, dtype)
  return [_transformers(out, tokenizer, asked, wanted), _vllm(out, asked, wanted)]


def _logits(model, step_dir: str, asked: list[list[int]], dtype: str) -> list[np.ndarray]:
  """[T, V] of each text."""
  precision.use('float32')
  mesh = mesh_lib.create({}, jax.devices()[:1])
  written = lambda x: x.astype(dtype).astype(jnp.float32)
  params = jax.tree.map(written, common.load_params(model, step_dir, mesh))
  return [np.asarray(jax.jit(model.apply)({'params': params}, jnp.asarray([ids], jnp.int32)))[0] for ids in asked]


def _transformers(out: str, tokenizer, asked, wanted) -> str:
  import torch
  import transformers
  transformers.utils.logging.disable_progress_bar()
  try:
    theirs = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(out)
  except Exception as e:  # pylint: disable=broad-except
    raise UserError(f'{out}: transformers {transformers.__version__} cannot load it ({type(e).__name__}: '
                    f'{" ".join(str(e).split())[:200]})') from e
  worst = 0.0
  for text, ids, ours in zip(TEXTS, asked, wanted):
    found = their_tokenizer(text).input_ids[:len(ids)]
    if found != ids:
      raise UserError(_otherwise(out, their_tokenizer, text, found, ids))
    with torch.no_grad():
      logits = theirs(torch.tensor([ids])).logits[0].float().numpy()
    if logits.shape != ours.shape:
      raise UserError(f'{out}: transformers gives logits of shape {logits.shape}, the checkpoint {ours.shape}')
    worst = max(worst, float(np.abs(logits - ours).max() / max(1.0, np.abs(ours).max())))
  if not worst < LIMIT:
    raise UserError(f'{out}: logits of transformers {transformers.__version__} are off by {worst:.1e} of the largest, '
                    f'the limit is {LIMIT:g}: not the model that the checkpoint is')
  return (f"transformers {transformers.__version__} loads it: the checkpoint's logits to {worst:.1e} of the largest, "
          'and its tokens')


def _otherwise(out: str, tokenizer, text: str, found: list[int], ids: list[int]) -> str:
  """A text that transformers reads otherwise, and why: the class that it takes by config.json's model_type may split
  texts in its own way, whatever tokenizer.json says."""
  import transformers
  file = os.path.join(out, 'tokenizer.json')
  by_file = os.path.exists(file) and (
      transformers.PreTrainedTokenizerFast(tokenizer_file=file)(text).input_ids[:len(ids)] == ids)
  way = (': its tokenizer.json itself gives the latter. Export without --check, and read that file by transformers'
         "' PreTrainedTokenizerFast(tokenizer_file='tokenizer.json')" if by_file else '')
  return (f'{out}: transformers {transformers.__version__} reads {text!r} by its {type(tokenizer).__name__} as the '
          f'tokens {found}, the checkpoint has {ids}{way}')


def _vllm(out: str, asked, wanted) -> str:
  if importlib.util.find_spec('vllm') is None:
    return 'vLLM is not installed here: not asked'
  import vllm
  try:
    engine = vllm.LLM(model=out, max_model_len=max(map(len, asked)) + NEW, enforce_eager=True)
    said = engine.generate([{'prompt_token_ids': ids} for ids in asked],
                           vllm.SamplingParams(temperature=0.0, max_tokens=NEW))
  except Exception as e:  # pylint: disable=broad-except
    raise UserError(f'{out}: vLLM {vllm.__version__} cannot run it ({type(e).__name__}: '
                    f'{" ".join(str(e).split())[:200]})') from e
  for text, ours, one in zip(TEXTS, wanted, said):
    first, likeliest = one.outputs[0].token_ids[0], int(ours[-1].argmax())
    behind = float(ours[-1].max() - ours[-1][first])
    if behind > NEAR * max(1.0, float(np.abs(ours[-1]).max())):
      raise UserError(f'{out}: behind {text!r} vLLM {vllm.__version__} says token {first}, the checkpoint {likeliest}, '
                      f'which lies {behind:.2f} above it')
  return f'vLLM {vllm.__version__} loads it and says the likeliest tokens of the checkpoint'
