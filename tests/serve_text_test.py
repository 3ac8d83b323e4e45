"""r1jax.serve.text: text that comes in pieces is the text that comes whole, however it is cut."""

import functools

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import pytest

from r1jax import convert
from r1jax.data import formats
from r1jax.data.tokenizer import Tokenizer
from r1jax.serve import text as text_lib

MANY = settings(max_examples=200, deadline=None)


@functools.cache
def tokenizer():
  import tempfile
  directory = tempfile.mkdtemp()
  convert.import_model('tiny-base', out=directory)
  return Tokenizer(directory)


class Bytes:
  """A tokenizer whose tokens are bytes: every character of more than one is cut."""
  vocab_size = 256
  decode = staticmethod(lambda ids: bytes(ids).decode(errors='replace'))
  is_special = staticmethod(lambda i: False)


class Spaces:
  """As sentencepiece has it: the space that begins a text is not part of it."""
  vocab_size = 5
  pieces = [' a', ' b', 'c', ' ', '\u00e9']
  decode = staticmethod(lambda ids: ''.join(Spaces.pieces[i] for i in ids).removeprefix(' '))
  is_special = staticmethod(lambda i: False)


def cut(tokens, sizes):
  """Pieces of the given sizes, over and over."""
  at = 0
  for n in sizes * (len(tokens) + 1):
    if at >= len(tokens):
      return
    yield tokens[at:at + n]
    at += n


sizes = st.lists(st.integers(1, 20), min_size=1, max_size=4)
texts = st.text(st.sampled_from('ab <>/think\u00e9\u4f60\U0001f600'), max_size=120)


@MANY
@given(st.lists(st.integers(0, 319), max_size=300), sizes)
def test_pieces_of_any_tokens_are_the_whole(ids, sizes):
  decoder = text_lib.Decoder(tokenizer())
  assert ''.join(decoder.push(part) for part in cut(ids, sizes)) + decoder.end() == tokenizer().decode(ids)


@MANY
@given(st.lists(st.integers(0, 4), max_size=200), sizes)
def test_pieces_are_the_whole_where_a_text_begins_without_its_space(ids, sizes):
  decoder = text_lib.Decoder(Spaces)
  assert ''.join(decoder.push(part) for part in cut(ids, sizes)) + decoder.end() == Spaces.decode(ids)
  assert ''.join(text_lib.Pieces(Spaces)(ids)).removeprefix(' ') == Spaces.decode(ids)


@MANY
@given(texts, sizes)
def test_no_character_is_shown_before_it_is_whole(text, sizes):
  decoder, shown = text_lib.Decoder(Bytes), ''
  for part in cut(list(text.encode()), sizes):
    shown += decoder.push(part)
    assert text.startswith(shown)
  assert shown + decoder.end() == text


def test_a_long_text_is_not_decoded_again_and_again():
  class Counting(Bytes):
    seen = 0

    @classmethod
    def decode(cls, ids):
      cls.seen += len(ids)
      return Bytes.decode(ids)

  decoder = text_lib.Decoder(Counting)
  for _ in range(1000):
    decoder.push(b'abcd')
  assert Counting.seen < 40 * 4000
  garbage = text_lib.Decoder(Counting)  # bytes that never make a character are shown in the end, and do not pile up
  for _ in range(1000):
    garbage.push([0xff] * 4)
  assert Counting.seen < 40 * 4000 + 600 * 4000 and len(garbage._ids) < 300


# --- stop strings


@MANY
@given(texts, sizes, st.lists(st.text(st.sampled_from('ab <>th\u00e9\u4f60'), min_size=1, max_size=4), max_size=3))
def test_a_text_ends_before_its_first_stop_string(text, sizes, strings):
  ids = list(text.encode())
  found = [(text.find(string) + len(string), text.find(string)) for string in strings if string in text]
  one, shown, count = text_lib.Text(Bytes, tuple(strings)), '', 0
  parts = list(cut(ids, sizes)) or [[]]
  for i, part in enumerate(parts):
    said = one.push(part, last=i == len(parts) - 1)
    shown, count = shown + said.content, count + said.tokens
    if one.stopped:
      break
  assert one.stopped == bool(found)
  assert shown == (text[:min(found)[1]] if found else text)
  assert count == (len(text[:min(found)[0]].encode()) if found else len(ids))


@pytest.mark.parametrize('parts', [[b'abcde'], [b'abc', b'de'], [b'ab', b'cd'], [b'a', b'b', b'c']])
def test_the_stop_string_that_is_whole_first_counts(parts):
  one = text_lib.Text(Bytes, ('bcd', 'c'))
  assert ''.join(one.push(part).content for part in parts) == 'ab' and one.stopped


# --- reasoning


def split(text, sizes, form='r1_zero', prefill=''):
  """(content, reasoning) of a text that comes in pieces."""
  form = formats.get(form)
  marks = (form.mark,) * 2 if form.name == 'r1' else (formats.THINK, formats.THINK_END)
  one = text_lib.Split(*marks, inside=form.name == 'deepseek_r1')
  one.push(prefill)
  parts = list(cut(text, sizes)) or ['']
  said = [one.push(part, i == len(parts) - 1) for i, part in enumerate(parts)]
  return tuple(map(''.join, zip(*said)))


CASES = [  # format, prefill, text, content, reasoning
    ('r1_zero', '', '<think> a </think> <answer> 5 </answer>', ' <answer> 5 </answer>', ' a '),
    ('r1_zero', '', 'no marks < at all', 'no marks < at all', ''),
    ('r1_zero', '', 'so <think> a', 'so ', ' a'),
    ('r1_zero', '', '<think>a</think>b</think>c<think>d', 'b</think>c<think>d', 'a'),
    ('r1_zero', '', '</think>a', '</think>a', ''),
    ('r1_zero', '<think>', ' a </think> b', ' b', ' a '),
    ('r1_zero', '', '<thin', '<thin', ''),
    ('r1', '', '<|thought|> a<|thought|> b', ' b', ' a'),
    ('r1', '', 'b', 'b', ''),
    ('deepseek_r1', '', 'a\n</think>\n\nb', '\n\nb', 'a\n'),
    ('deepseek_r1', '', 'never ends', '', 'never ends'),
    ('deepseek_r1', '', '<think>\na</think>b', 'b', '\na'),
    ('deepseek_r1', '', '<b>a</think>c', 'c', '<b>a'),
    ('deepseek_r1', '', '<th', '', '<th'),
]


@pytest.mark.parametrize('form, prefill, text, content, reasoning', CASES)
def test_reasoning_apart(form, prefill, text, content, reasoning):
  for sizes in ([1], [2, 3], [5], [100]):
    assert split(text, sizes, form, prefill) == (content, reasoning), sizes


@MANY
@given(st.lists(st.sampled_from(['<', 'think', '</', '>', 'a', ' ', '<think>', '</think>'])).map(''.join), sizes,
       st.sampled_from(['r1_zero', 'deepseek_r1']))
def test_it_does_not_matter_how_it_is_cut(text, sizes, form):
  assert split(text, sizes, form) == split(text, [1000], form)


@MANY
@given(texts, texts)
def test_an_ideal_turn_is_split_where_its_format_splits_it(reasoning, summary):
  for form in formats.FORMATS.values():
    marks = [*formats.TAGS, '<|thought|>', '<']
    if any(mark in reasoning + summary for mark in marks):
      continue
    content, said = split(form.write(reasoning, summary), [7], form.name)
    assert said == form.reasoning(form.write(reasoning, summary)) or form.name == 'deepseek_r1' and said.strip() == reasoning.strip()
    assert content == (form.summary(form.write(reasoning, summary)) or '')
