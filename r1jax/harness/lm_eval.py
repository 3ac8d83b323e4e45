"""r1jax as a model of lm-eval, and lm-eval's command with it.

  python -m r1jax.harness.lm_eval run --model_args path=DIR --tasks gsm8k --data openai/gsm8k=DIR --apply_chat_template

Every flag is lm-eval's own, but for --data HUB_ID=DIR[,HUB_ID=DIR]: where a task's data set lies on this machine
(local_data.py). --model is r1jax where none is named.
"""

import logging
import os
import sys

from r1jax import api
from r1jax import errors
from r1jax import terminal
from r1jax.data import prompts
from r1jax.exceptions import UserError
from r1jax.harness import asking
from r1jax.harness import likelihood
from r1jax.harness import local_data
from r1jax.harness import messages

try:
  from lm_eval.api import model as lm
  from lm_eval.api import registry
  from lm_eval.models import utils as lm_utils
  from lm_eval import utils
  import tqdm
except ImportError as e:
  missing = f"lm-eval is not installed ({e}): pip install 'r1jax[lm-eval]'"
  if __name__ == '__main__':
    print(f'r1jax: {missing}', file=sys.stderr)
    sys.exit(2)
  raise UserError(missing) from e

log = logging.getLogger('r1jax')

_SAMPLING = {'temperature', 'top_p', 'do_sample', 'until', 'max_gen_toks'}  # of a task's generation_kwargs


class R1JaxLM(lm.TemplateLM):
  """What --model=r1jax is.

  The model_args:
    path: what r1jax.load takes.
    template, dtype: as there. slots: completions decoded at a time. seed: of what is sampled.
    max_gen_toks: of an answer, where a task does not say.
    max_length: positions that are used; 0: the model's.
    add_bos_token: whether a text begins with the model's first token; None: where the model has one.
    think_end_token: what of an answer stands behind its last occurrence alone is graded, '</think>'.
    turns: 'refuse' or 'join' (messages.text). tokens: positions of a batch of loglikelihood.
  """
  backend = 'causal'

  def __init__(self, path: str = '', *, template: str | None = None, dtype: str | None = None,
               slots: int = asking.SLOTS, seed: int = 0, max_gen_toks: int = 256, max_length: int = 0,
               add_bos_token: bool | None = None, think_end_token: str | None = None, turns: str = 'refuse',
               tokens: int = likelihood.TOKENS, batch_size=None, max_batch_size=None, device=None):
    """batch_size, max_batch_size, device: lm-eval hands them to every model; slots and tokens, and jax, are ours.

    Raises:
      UserError: no path, nothing like a model there, or a number that cannot be.
    """
    super().__init__()
    if not path:
      raise UserError('--model_args names no path: --model_args path=DIR, what r1jax.load takes')
    if str(batch_size) not in ('None', '1') or device or max_batch_size:
      log.info('--batch_size and --device are of no use here: slots=%d and tokens=%d of --model_args say it, and jax',
               slots, tokens)
    model = api.load(path, template=template, dtype=dtype)
    if max_length < 0 or max_length > model.config.max_length:
      raise UserError(f'max_length={max_length}: the model has {model.config.max_length} positions')
    self.model, self._path = model, path
    self._asker = asking.Asker(model, slots=slots, seed=seed)
    self._scorer = likelihood.Scorer(model, tokens=tokens)
    self.max_length, self.max_gen_toks = max_length or model.config.max_length, max_gen_toks
    self._bos = model.tokenizer.bos_id is not None if add_bos_token is None else add_bos_token
    if self._bos and model.tokenizer.bos_id is None:
      raise UserError(f'add_bos_token=True, but the tokenizer of {path} has no token that begins a text')
    self._think_end, self._turns = think_end_token, turns

  # --- texts and tokens

  @property
  def eot_token_id(self) -> int:
    return self.model.tokenizer.eos_ids[0]

  @property
  def prefix_token_id(self) -> int:
    """What stands before a text that has nothing before it."""
    bos = self.model.tokenizer.bos_id
    return self.eot_token_id if bos is None else bos

  def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs) -> list[int]:
    """Ids of a text, the model's first token before it unless the text has it; add_special_tokens=False: not it."""
    begins = self._bos if add_special_tokens is None else add_special_tokens
    return list((self.model.tokenizer.encode_prompt if begins else self.model.tokenizer.encode)(string))

  @property
  def tokenizer_name(self) -> str:
    return f'{os.path.basename(self._path)}__{self.model.tokenizer.digest()[:16]}__{self.model.template}'

  def chat_template(self, chat_template: bool | str = False) -> str | None:
    """What is written into lm-eval's results."""
    if chat_template is False or chat_template is None:
      return None
    if isinstance(chat_template, str):
      raise UserError(f'--apply_chat_template={chat_template}: model_args template={chat_template} says it here')
    if self.model.template == prompts.CHAT:
      return self.model.tokenizer.chat_template
    return prompts.TEMPLATES[self.model.template]

  def apply_chat_template(self, chat_history: list[dict], add_generation_prompt: bool = True) -> str:
    """A talk in the model's template; without add_generation_prompt its last turn is what the answer begins with."""
    if add_generation_prompt:
      return messages.text(self.model, chat_history, turns=self._turns)
    begun = chat_history[-1]['content']
    return messages.text(self.model, chat_history[:-1], turns=self._turns) + begun

  def get_model_info(self) -> dict:
    return {'model_num_parameters': self.model.config.param_count(), 'model_dtype': self.model.config.dtype,
            'r1jax_path': self.model.path, 'r1jax_template': self.model.template}

  # --- what tasks ask

  def _loglikelihood_tokens(self, requests, **kwargs) -> list[tuple[float, bool]]:
    pairs = []
    for (context, continuation), before, said in requests:
      if not said:
        raise UserError(f'the continuation {continuation!r} of {context[-40:]!r} has no token of its own')
      if len(said) > self.max_length:
        raise UserError(f'a continuation has {len(said)} tokens, max_length={self.max_length}: shorten it')
      pairs.append((before[-(self.max_length + 1 - len(said)):], said))
    cut = sum(len(before) > len(kept) for (_, before, _), (kept, _) in zip(requests, pairs))
    if cut:
      log.warning('%d of %d contexts are longer than max_length=%d allows: cut on the left', cut, len(pairs),
                  self.max_length)
    out = []
    for (key, _, _), likely in zip(requests, self._scorer(pairs)):
      out.append((float(likely.logps.sum(dtype='float64')), bool(likely.greedy.all())))
      if key[0] is not None:
        self.cache_hook.add_partial('loglikelihood', key, out[-1])
    return out

  def loglikelihood_rolling(self, requests, disable_tqdm: bool = False) -> list[float]:
    """Of whole texts, each token once, behind as much of the text as the model has positions for."""
    pairs, owner = [], []
    for number, request in enumerate(requests):
      text, = request.args
      windows = utils.get_rolling_token_windows(
          token_list=self.tok_encode(text, add_special_tokens=False), prefix_token=self.prefix_token_id,
          max_seq_len=self.max_length, context_len=1)
      for before, said in map(utils.make_disjoint_window, windows):
        pairs.append((before, said))
        owner.append(number)
    out = [0.0] * len(requests)
    for number, likely in zip(owner, self._scorer(pairs)):
      out[number] += float(likely.logps.sum(dtype='float64'))
    for request, found in zip(requests, out):
      self.cache_hook.add_partial('loglikelihood_rolling', request.args, found)
    return out

  def generate_until(self, requests, disable_tqdm: bool = False) -> list[str]:
    """Answers, each cut off before the first text that a task ends it with."""
    asks, stops = zip(*[self._ask(*request.args) for request in requests]) if requests else ((), ())
    out = [''] * len(requests)
    with tqdm.tqdm(total=len(requests), disable=disable_tqdm, desc='r1jax generate_until') as progress:
      for i, (sample,) in self._asker(asks):
        out[i] = lm_utils.postprocess_generated_text(sample.text, stops[i], self._think_end)
        self.cache_hook.add_partial('generate_until', requests[i].args, out[i])
        progress.update(1)
    return out

  def _ask(self, context: str, kwargs: dict) -> tuple[asking.Ask, list[str]]:
    found = lm_utils.normalize_gen_kwargs(kwargs, self.max_gen_toks)
    other = {key for key, value in found.items() if key not in _SAMPLING and value is not None}
    if other:
      raise UserError(f'generation_kwargs {", ".join(sorted(other))}: not known here, which has '
                      f'{", ".join(sorted(_SAMPLING))}: --gen_kwargs or the task says otherwise')
    most = min(found['max_gen_toks'], self.max_length - 1)
    prompt = self.tok_encode(context)
    if len(prompt) > self.max_length - most:
      log.warning('a prompt of %d tokens is cut on the left to %d, for an answer of %d', len(prompt),
                  self.max_length - most, most)
      prompt = prompt[-(self.max_length - most):]
    sampled = found['do_sample'] and found.get('temperature', 1.0) > 0
    # Reasoning may hold a text that ends an answer: what stands behind it is cut alone.
    stop = () if self._think_end else tuple(found['until'])
    ask = asking.Ask(prompt, max_tokens=most, temperature=found.get('temperature', 1.0) if sampled else 0.0,
                     top_p=found.get('top_p', 1.0) if sampled else 1.0, stop=stop)
    return ask, found['until']


def register() -> None:
  """Makes --model=r1jax known to lm-eval in this process."""
  if 'r1jax' not in registry.model_registry:
    registry.model_registry.register('r1jax', target='r1jax.harness.lm_eval:R1JaxLM')


def main(argv: list[str]) -> int:
  """The command in this module's docstring."""
  terminal.use()
  return errors.run(lambda: _run(argv[1:]))


def _run(args: list[str]) -> int:
  from lm_eval import _cli
  register()
  data, rest = local_data.flag(args)
  if rest and rest[0].startswith('-') and rest[0] not in ('-h', '--help'):
    rest = ['run', *rest]
  if rest[:1] == ['run'] and not any(word == '-M' or word.partition('=')[0] == '--model' for word in rest):
    rest += ['--model', 'r1jax']
  before, sys.argv = sys.argv, ['lm-eval', *rest]
  try:
    with local_data.instead(data):
      utils.setup_logging()
      parser = _cli.HarnessCLI()
      parser.execute(parser.parse_args())
  finally:
    sys.argv = before
  return 0


if __name__ == '__main__':
  from r1jax.harness import lm_eval as me  # the class that lm-eval finds is then the only one
  sys.exit(me.main(sys.argv))
