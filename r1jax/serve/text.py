"""Tokens as they come -> text as it may be shown: whole characters, cut at a stop string, reasoning apart."""

import copy
from typing import NamedTuple

_CONTEXT = 8  # tokens before new ones that are decoded along: what a tokenizer does at a text's beginning is not met
_WINDOW = 32  # tokens decoded at a time, at least
_BROKEN = '\ufffd'  # of a character that is not whole yet, or never will be


class Decoder:
  """What tokenizer.decode says of all tokens, piece by piece; a chunk costs what it holds, not what went before.

  (A tokenizer with byte fallback may take back a character behind which bytes stand that never make one.)
  """

  def __init__(self, tokenizer):
    self._decode, self._ids, self._shown = tokenizer.decode, [], 0  # shown: characters of what _ids decode to

  def push(self, tokens) -> str:
    """What may be shown now."""
    self._ids.extend(map(int, tokens))
    whole = self._decode(self._ids)
    sure = whole.rstrip(_BROKEN)
    text, self._shown = sure[self._shown:], max(self._shown, len(sure))
    if len(self._ids) > _WINDOW and (sure == whole or len(self._ids) > 8 * _WINDOW):
      text += whole[self._shown:]
      self._ids = self._ids[-_CONTEXT:]
      self._shown = len(self._decode(self._ids))
    return text

  def end(self) -> str:
    """What is left when no token follows."""
    return self._decode(self._ids)[self._shown:]

  def copy(self) -> 'Decoder':
    other = copy.copy(self)
    other._ids = list(self._ids)
    return other


def _held(text: str, marks) -> int:
  """How many characters at the end of a text may be the beginning of one of `marks`."""
  beginnings = ((n, mark[:n]) for mark in marks for n in range(1, min(len(mark), len(text) + 1)))
  return max((n for n, beginning in beginnings if text.endswith(beginning)), default=0)


class Stop:
  """Text up to the first of some strings that is whole, which is not shown itself."""

  def __init__(self, strings: tuple[str, ...]):
    self._strings, self._pending, self.hit = strings, '', False

  def push(self, text: str, last: bool = False) -> str:
    """What may be shown; last: nothing follows."""
    if not self._strings or self.hit:
      return '' if self.hit else text
    text = self._pending + text
    found = [(text.find(string) + len(string), text.find(string)) for string in self._strings if string in text]
    self.hit = bool(found)
    shown = min(found)[1] if found else len(text) - (0 if last else _held(text, self._strings))
    self._pending = '' if found or last else text[shown:]
    return text[:shown]


class Split:
  """Reasoning and what is not reasoning, by the marks around it: the first that opens, the first behind it that closes.

  All that is not a mark is in one of the two; what is behind the closing mark is never looked at again.
  """

  def __init__(self, opening: str, closing: str, *, inside: bool = False):
    """inside: text begins within the reasoning; an opening mark of its own at its beginning is left out."""
    self._marks, self._state, self._pending, self._bare = (opening, closing), int(inside), '', inside

  def push(self, text: str, last: bool = False) -> tuple[str, str]:
    """(content, reasoning)."""
    content, reasoning, text = '', '', self._pending + text
    self._pending = ''
    if self._bare and text:
      opening, begins = self._marks[0], text.lstrip()
      if len(begins) < len(opening) and opening.startswith(begins) and not last:
        self._pending = text
        return '', ''
      text, self._bare = begins.removeprefix(opening) if begins.startswith(opening) else text, False
    while self._state < 2:
      mark = self._marks[self._state]
      before, found, behind = text.partition(mark)
      if not found:
        held = 0 if last else _held(text, (mark,))
        self._pending = text[len(text) - held:]
        before = text[:len(text) - held]
      if self._state:
        reasoning += before
      else:
        content += before
      if not found:
        return content, reasoning
      self._state, text = self._state + 1, behind
    return content + text, reasoning


class Shown(NamedTuple):
  """What tokens add to a choice."""
  content: str
  reasoning: str
  tokens: int  # how many of them count: those up to a stop string


class Text:
  """One choice's text."""

  def __init__(self, tokenizer, stop: tuple[str, ...] = (), split: Split | None = None):
    """split: None: reasoning in place."""
    self._decoder, self._stop, self._split = Decoder(tokenizer), Stop(stop), split

  @property
  def stopped(self) -> bool:
    """A stop string has been met: nothing more is shown."""
    return self._stop.hit

  def push(self, tokens, last: bool = False) -> Shown:
    """last: no token follows."""
    before = (self._decoder.copy(), copy.copy(self._stop)) if self._stop._strings else None
    text = self._stop.push(self._decoder.push(tokens))
    if last and not self.stopped:
      text += self._stop.push(self._decoder.end(), last=True)
    count = len(tokens)
    if self.stopped:  # once in a choice's life: by which token?
      decoder, stop = before
      for count, token in enumerate(tokens, 1):
        stop.push(decoder.push([token]))
        if stop.hit:
          break
    if self._split is None:
      return Shown(text, '', count)
    return Shown(*self._split.push(text, last or self.stopped), count)


class Pieces:
  """Each token's own text, as it stands within a text; a special one's name."""

  def __init__(self, tokenizer):
    self._tokenizer, self._known = tokenizer, {}

  def __call__(self, ids) -> list[str]:
    for i in set(ids) - self._known.keys():
      self._known[i] = self._one(i)
    return [self._known[i] for i in ids]

  def _one(self, i: int) -> str:
    if i >= self._tokenizer.vocab_size:  # a row to spare of the model's
      return ''
    if self._tokenizer.is_special(i):
      return self._tokenizer.piece(i)
    return self._tokenizer.decode([i, i]).removeprefix(self._tokenizer.decode([i]))
