"""The text that the tiny base model is pre-trained on: it must know how to work a sum out, and seldom choose to.

Kinds of document, the first two over the 'base' split of the problems:
  textbook       an expression, worked out step by step, no template: where the model learns to calculate
  conversation   the template of table 1. Most answers are a quick guess and mostly wrong, some are worked out and
                 mostly right, some of those with a slip noticed ("wait"), some break the format
  facts          a sentence about the world, alone or behind a question (scenarios.py)

With Mixture.spoken, as R1's base is, worked lines carry words: one a step, in English or Chinese, or in both by turns.
Mixed lines slip less often than pure ones (slip_mixed). This stands for what makes a real base mix: that one language
is not always where it reasons best. So RL for accuracy alone has a reason to mix, and consistency has a price.
"""

import dataclasses
import functools
import random

from r1jax.data import scenarios
from r1jax.data import tasks


@dataclasses.dataclass(frozen=True)
class Mixture:
  """Shares of the corpus, each in 0..1."""
  textbook: float = 0.5  # of all documents
  worked: float = 0.2  # of conversations: worked out
  broken_format: float = 0.08  # of conversations: tags missing
  guess_right: float = 0.08  # of guesses
  slip: float = 0.03  # of steps: a wrong result ...
  noticed: float = 0.5  # ... that is noticed and mended at once
  spoken: bool = False  # worked lines carry words
  chinese: float = 0.0  # of textbook pages: in Chinese (a conversation is in the language of its question)
  mixed: float = 0.0  # of worked lines: in both languages by turns
  slip_mixed: float = 0.0  # of steps of such a line
  checked: float = 0.0  # of worked conversations: asked to check, and the last step is said again
  paired: float = 0.0  # of textbook pages: two problems, one after the other
  boxed: float = 0.0  # of textbook pages: the answer in a box at the end
  facts: float = 0.0  # of all documents: a sentence about the world


WORKED_OPENING = ' <think> Step by step:'  # prefilled, it makes the model work


@dataclasses.dataclass(frozen=True)
class Speech:
  """The words of a worked line in one language."""
  opening: str
  first: str
  then: str
  wait: str
  check: str
  guess: str
  ask_to_check: str
  summary: str


SPEECH = {
    'en': Speech('Step by step:', 'first', 'then', 'wait', 'check', 'It is', ' Check it.',
                 'The answer is \\boxed{{ {} }}.'),
    'zh': Speech('\u9010\u6b65\u8ba1\u7b97:', '\u5148', '\u518d', '\u7b49\u7b49', '\u68c0\u67e5',
                 '\u7b54\u6848\u662f', ' \u8bf7\u68c0\u67e5\u3002', '\u7b54\u6848\u662f \\boxed{{ {} }}\u3002')}


def _terms(expression: str) -> tuple[int, list[tuple[str, int]]]:
  words = expression.split()
  return int(words[0]), [(words[i], int(words[i + 1])) for i in range(1, len(words), 2)]


def worked(expression: str, rng: random.Random, mixture: Mixture, language: str = '',
           check: bool = False) -> tuple[str, int]:
  """('5 + 9 = 14, 14 - 7 = 7', 7): the steps, and the value they arrive at (slips left alone carry on).

  Args:
    language: of the words, for a line that carries some: 'en', 'zh' or 'mixed'.
    check: the last step is said again at the end.
  """
  def speak(word: str) -> str:
    if not language:
      return ''
    spoken = rng.choice(list(SPEECH)) if language == 'mixed' else language
    return f'{getattr(SPEECH[spoken], word)} '

  total, rest = _terms(expression)
  steps = []
  slip = mixture.slip_mixed if language == 'mixed' else mixture.slip
  for operator, term in rest:
    right = total + term if operator == '+' else total - term
    word, said, value = speak('then' if steps else 'first'), f'{total} {operator} {term} = {right}', right
    if rng.random() < slip:
      value = right + rng.choice([-2, -1, 1, 2, 10, -10])
      steps.append(f'{word}{total} {operator} {term} = {value}')
      if rng.random() < mixture.noticed:
        steps += [speak('wait').strip() or 'wait', said]
        value = right
    else:
      steps.append(word + said)
    total = value
  if check:
    steps.append(f'{speak("check")}{said}')
  return ', '.join(steps), total


def guess(answer: int, rng: random.Random, mixture: Mixture) -> int:
  """A number near the answer, seldom the answer."""
  if rng.random() < mixture.guess_right:
    return answer
  return answer + rng.choice([-1, 1]) * rng.randint(1, 9)


def _language(row: dict, rng: random.Random, mixture: Mixture) -> str:
  """Of a worked line: the question's, or both by turns; '' where lines carry no words."""
  if not mixture.spoken:
    return ''
  return 'mixed' if rng.random() < mixture.mixed else row.get('language', 'en')


def conversation(row: dict, rng: random.Random, mixture: Mixture, check: bool = False) -> str:
  """What stands after 'Assistant:' in one document."""
  asked = SPEECH[row.get('language', 'en')]
  if check or rng.random() < mixture.worked:
    language = _language(row, rng, mixture)
    opening = SPEECH[rng.choice(list(SPEECH))] if language == 'mixed' else asked
    steps, value = worked(row['expression'], rng, mixture, language, check)
    thought = f' <think> {opening.opening} {steps}. </think>'
  else:
    value = guess(int(row['answer']), rng, mixture)
    thought = f' <think> {asked.guess} {value}. </think>'
  if rng.random() < mixture.broken_format:
    return rng.choice([f' {value}', f'{thought} {value}', f' <answer> {value} </answer>'])
  return f'{thought} <answer> {value} </answer>'


def documents(rows: list[dict], render, *, seed: int, mixture: Mixture = Mixture()):
  """Yields (prompt, completion) texts, one a row; a textbook page has no prompt.

  Args:
    rows: problems with 'expression', 'question' and 'answer'.
    render: question -> prompt text.
  """
  rng = random.Random(seed)
  rows = iter(rows)
  for row in rows:
    if mixture.facts and rng.random() < mixture.facts:
      yield '', _fact(rng)
    elif rng.random() < mixture.textbook:
      language = 'zh' if mixture.chinese and rng.random() < mixture.chinese else 'en'
      language = _language({'language': language}, rng, mixture)
      pages = [row]
      if mixture.paired and rng.random() < mixture.paired:
        pages += [next(rows, row)]
      yield '', ' '.join(page(row, rng, mixture, language) for row in pages)
    else:
      check = bool(mixture.checked) and rng.random() < mixture.checked
      question = row['question'] + (SPEECH[row.get('language', 'en')].ask_to_check if check else '')
      yield render(question), conversation(row, rng, mixture, check)


def page(row: dict, rng: random.Random, mixture: Mixture, language: str = '') -> str:
  """'5 + 9: first 5 + 9 = 14. The answer is \\boxed{ 14 }.', the last sentence on a share of the pages."""
  steps, value = worked(row['expression'], rng, mixture, language)
  boxed = bool(mixture.boxed) and rng.random() < mixture.boxed
  summary = SPEECH.get(language, SPEECH['en']).summary
  return f'{row["expression"]}: {steps}.' + (f' {summary.format(value)}' if boxed else '')


@functools.lru_cache(maxsize=1)
def _asked() -> list[dict]:
  """General questions of the base's split."""
  return [row for row in scenarios.questions()
          if row['scenario'] in ('facts', 'translation') and tasks.split_of(row['question']) == 'base']


def _fact(rng: random.Random) -> str:
  """A sentence about the world, half of the time behind a question:
  what a base knows and what it has read of asking."""
  row = rng.choice(_asked())
  thing = row['about']
  translation = f'In Chinese it is {scenarios.CHINESE[thing]}.'
  words = rng.sample(sorted(scenarios.TRUE[thing]), rng.randint(1, 3))
  if rng.random() < 0.5:
    return f'{row["question"]} {translation if row["scenario"] == "translation" else scenarios.statement(thing, words)}'
  return f'{thing}: {scenarios.CHINESE[thing]}.' if rng.random() < 0.3 else scenarios.statement(thing, words)


def whole_pieces(low: int = -60, high: int = 100, spoken: bool = False) -> list[str]:
  """Numbers and tags that the tiny tokenizer keeps whole, with and without a space before them,
  and the words of steps."""
  tags = ['<think>', '</think>', '<answer>', '</answer>']
  numbers = [str(n) for n in range(low, high)]
  words = [word for speech in SPEECH.values()
           for word in (speech.opening, speech.first, speech.then, speech.wait, speech.check)]
  spelled = [f' {word}' for word in words] + [' \\boxed{', ' }'] if spoken else []
  return [f' {p}' for p in tags + numbers] + tags + spelled


def later_texts() -> list[str]:
  """Texts that the pipeline's later stages write, for a tokenizer that must spell them."""
  rng = random.Random(0)
  rows = scenarios.questions()
  return [' '.join((row['question'], *scenarios.written(row, rng))) for row in rows]
