"""The layout of an assistant's turn, one object each: its tokens, its template, its loss mask and its parser.

  r1_zero       <think> reasoning </think> <answer> answer </answer>                table 1
  r1            |special_token|<reasoning_process>|special_token|<summary>          section 2.3.1, cold start
  deepseek_r1   reasoning </think> summary                                          DeepSeek-R1's chat as published

What writes a turn (`write`, `ideal`) and what reads it (`reasoning`, `summary`, `matches`) stand side by side, so that
neither can drift from the other; a run checks at start-up that an ideal turn scores 1.
"""

import dataclasses
import re

from r1jax.exceptions import UserError

THINK, THINK_END, ANSWER, ANSWER_END = TAGS = ('<think>', '</think>', '<answer>', '</answer>')

# Each tag is counted apart, so the lazy groups below cannot hide a second one.
_TAGGED = re.compile(r'\s*<think>(.*?)</think>\s*<answer>(.*?)</answer>\s*', re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Tagged:
  """Table 1 of the paper."""
  name: str = 'r1_zero'
  template: str = 'r1_zero'  # of prompts.TEMPLATES
  tokens: tuple[str, ...] = ()  # to be added to a tokenizer as one id each; tags are plain text here

  def write(self, reasoning: str, summary: str) -> str:
    return f'{THINK} {reasoning} {THINK_END} {ANSWER} {summary} {ANSWER_END}'

  def ideal(self, answer: str, prefill: str = '') -> str:
    """A completion that scores 1 on the format, and on maths when `answer` is the gold one.

    It goes on where the prefill left off: to the letter, or after the last tag that the prefill has.
    """
    text, given = self.write('reasoning process here', str(answer)), prefill.strip()
    if text.startswith(given):
      return text[len(given):]
    last = max(TAGS, key=given.rfind)
    if not given.startswith(THINK) or last not in given:
      raise ValueError(f'{prefill=} does not begin {text!r}')
    return text[text.index(last) + len(last):]

  def reasoning(self, text: str) -> str:
    """What stands between <think> and the last </think>, or behind a <think> that never closes; '' without one."""
    start = text.find(THINK)
    if start < 0:
      return ''
    end = text.rfind(THINK_END)
    return text[start + len(THINK):end if end > start else len(text)]

  def summary(self, text: str) -> str | None:
    """What follows the reasoning: all of it where no thinking was opened, None where it never closes.

    The last </think> counts: tags quoted within the reasoning must not turn a guess in it into the answer.
    """
    end = text.rfind(THINK_END)
    rest = text[end + len(THINK_END):] if end >= 0 else text
    return None if THINK in rest else rest

  def matches(self, text: str) -> bool:
    """Exactly <think>...</think><answer>...</answer>, nothing outside but white space, neither of them empty."""
    if any(text.count(tag) != 1 for tag in TAGS):
      return False
    match = _TAGGED.fullmatch(text)
    return bool(match and match[1].strip() and match[2].strip())


@dataclasses.dataclass(frozen=True)
class Marked:
  """The cold start's format: the same mark opens and closes the reasoning; a summary alone has no mark."""
  name: str = 'r1'
  template: str = 'r1'
  mark: str = '<|thought|>'

  @property
  def tokens(self) -> tuple[str, ...]:
    return (self.mark,)

  def write(self, reasoning: str, summary: str) -> str:
    """Without reasoning, as for a simple question (section 2.3.3), the summary alone."""
    return f'{self.mark} {reasoning}{self.mark} {summary}' if reasoning else f' {summary}'

  def ideal(self, answer: str, prefill: str = '') -> str:
    text, given = self.write('reasoning process here', rf'\boxed{{{answer}}}'), prefill.strip()
    if not text.startswith(given):
      raise ValueError(f'{prefill=} does not begin {text!r}')
    return text[len(given):]

  def reasoning(self, text: str) -> str:
    """What stands between the first mark and the last, or behind one that never closes; '' without one."""
    parts = text.split(self.mark)
    return self.mark.join(parts[1:-1]) if len(parts) > 2 else ''.join(parts[1:])

  def summary(self, text: str) -> str | None:
    """What follows the second mark, all of it without any; None where marks do not pair or text stands before them."""
    parts = text.split(self.mark)
    if len(parts) == 1:
      return text
    return parts[2] if len(parts) == 3 and not parts[0].strip() else None

  def matches(self, text: str) -> bool:
    """mark, reasoning, mark, summary: neither of them empty, nothing before."""
    return text.count(self.mark) == 2 and bool(self.reasoning(text).strip() and (self.summary(text) or '').strip())


@dataclasses.dataclass(frozen=True)
class Opened:
  """DeepSeek-R1's chat as it is published: the prompt ends in <think>, so a turn begins within the reasoning."""
  name: str = 'deepseek_r1'
  template: str = 'deepseek_r1'
  tokens: tuple[str, ...] = ()

  def write(self, reasoning: str, summary: str) -> str:
    return f'{reasoning}\n{THINK_END}\n\n{summary}'

  def ideal(self, answer: str, prefill: str = '') -> str:
    text, given = self.write('reasoning process here', rf'\boxed{{{answer}}}'), prefill.removeprefix(THINK).strip()
    if not text.startswith(given):
      raise ValueError(f'{prefill=} does not begin {text!r}')
    return text[len(given):]

  def reasoning(self, text: str) -> str:
    """What stands before the last </think>; all of it where there is none."""
    end = text.rfind(THINK_END)
    return (text[:end] if end >= 0 else text).strip().removeprefix(THINK)

  def summary(self, text: str) -> str | None:
    """What follows the reasoning; None where it never closes: a box in thinking that was cut off is no answer."""
    end = text.rfind(THINK_END)
    rest = text[end + len(THINK_END):]
    return None if end < 0 or THINK in rest else rest

  def matches(self, text: str) -> bool:
    """reasoning, </think>, summary: neither of them empty. A <think> of its own may begin the turn."""
    reasoning = self.reasoning(text)
    return bool(text.count(THINK_END) == 1 and THINK not in reasoning and reasoning.strip()
                and (self.summary(text) or '').strip())


FORMATS = {form.name: form for form in (Tagged(), Marked(), Opened())}


def get(name: str) -> Tagged | Marked | Opened:
  if name not in FORMATS:
    raise UserError(f'no format {name!r}: one of {", ".join(FORMATS)}')
  return FORMATS[name]


def of_template(template: str) -> Tagged | Marked | Opened:
  """The format that answers in a prompt template have; table 1's where none says otherwise."""
  return next((form for form in FORMATS.values() if form.template == template), FORMATS['r1_zero'])


def encode(tokenizer, prompt: str, completion: str) -> tuple[list[int], list[int]]:
  """(prompt ids, completion ids): of a document only the second part is learned, its marks and its end among it."""
  return tokenizer.encode_prompt(prompt), tokenizer.encode(completion) + [tokenizer.eos_ids[0]]


def last_answer(text: str) -> str | None:
  """The content of the last <answer> that closes."""
  start = text.rfind(ANSWER, 0, max(0, text.rfind(ANSWER_END)))
  if start < 0:
    return None
  start += len(ANSWER)
  return text[start:text.find(ANSWER_END, start)]
