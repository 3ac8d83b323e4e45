"""Language consistency by script and by lingua; rewards for length."""

import pytest

from r1jax import rewards
from r1jax.rewards import language

EN, ZH = 'we add the numbers', '\u6211\u4eec\u628a\u6570\u76f8\u52a0'


@pytest.mark.parametrize('text, name, share', [
    (EN, 'en', 1.0), (ZH, 'zh', 1.0), (EN, 'zh', 0.0), (ZH, 'en', 0.0),
    (f'{EN} {ZH}', 'en', 4 / 10), (f'{EN} {ZH}', 'zh', 6 / 10),
    ('', 'en', 0.0), ('   ', 'en', 0.0), ('1 + 2 = 3', 'en', 0.0), ('x y z', 'en', 0.0),  # silence earns nothing
    ('so x is 3', 'en', 1.0),  # single letters are names
    ('the root \u043a\u043e\u0440\u0435\u043d\u044c', 'en', 2 / 3), ('\u043a\u043e\u0440\u0435\u043d\u044c', 'ru', 1.0),
    ('\u0440\u0456\u0432\u043d\u044f\u043d\u043d\u044f', 'uk', 1.0),
    ('\u3053\u308c\u306f\u6570\u3067\u3059', 'ja', 1.0), ('\uc22b\uc790\ub97c \ub354\ud558\uba74', 'ko', 1.0),
    ('\u03c4\u03bf \u03b6\u03b7\u03c4\u03bf\u03cd\u03bc\u03b5\u03bd\u03bf', 'el', 1.0),
    ('\u0627\u0644\u0639\u062f\u062f \u0647\u0648', 'ar', 1.0),
    ('\u0939\u092e \u091c\u094b\u0921\u093c\u0924\u0947 \u0939\u0948\u0902', 'hi', 1.0),
    ('\u05d4\u05de\u05e1\u05e4\u05e8 \u05d4\u05d5\u05d0', 'he', 1.0), ('\u0e08\u0e33\u0e19\u0e27\u0e19', 'th', 1.0),
    ('\u10e0\u10d8\u10ea\u10ee\u10d5\u10d8', 'ka', 1.0), ('\u0569\u056b\u057e\u0568', 'hy', 1.0),
    ('\u0b8e\u0ba3\u0bcd\u0b95\u0bb3\u0bcd', 'ta', 1.0),
    (f'{ZH} `print(value)` ```python\nfor value in range(3): pass\n```', 'zh', 1.0),  # code is no language
    (rf'{ZH} $\frac{{speed}}{{time}}$ \(velocity\) \[ distance \] \text{{so it is}}', 'zh', 1.0),  # nor are formulas
    (f'{ZH} https://example.org/some/path www.example.org', 'zh', 1.0), (f'<think> {ZH} </think>', 'zh', 1.0),
    ('na\u00efve caf\u00e9 re\u0301sume\u0301', 'en', 1.0), ('\uff37\uff25 add', 'en', 1.0),
])
def test_consistency(text, name, share):
  assert language.consistency(text, name) == pytest.approx(share)


def test_at_least_a_dozen_languages():
  assert len(language.SCRIPTS) >= 12 and {'en', 'zh'} <= set(language.SCRIPTS)


@pytest.mark.parametrize('name', ['fr', 'xx', '', 'en+script'])
def test_what_script_cannot_tell_is_an_error(name):
  with pytest.raises(ValueError, match='cannot be told by script') as e:
    language.consistency(EN, name)
  assert '\n' not in str(e.value)


def test_lingua_tells_languages_in_latin_letters_apart():
  pytest.importorskip('lingua', reason="telling these apart needs the extra languages: pip install -e '.[languages]'")
  english, french = 'First we add the two numbers together.', "D'abord nous additionnons les deux nombres ensemble."
  assert language.consistency(english, 'en+lingua') == 1.0 and language.consistency(french, 'en+lingua') == 0.0
  assert language.consistency(f'{english} {french}', 'fr+lingua') == pytest.approx(7 / 14, abs=0.1)
  with pytest.raises(ValueError, match='Latin letters'):
    language.consistency(ZH, 'zh+lingua')


def test_the_reward_sees_the_reasoning_alone():
  mixed = f'<think> {EN} {ZH} </think> <answer> {ZH} </answer>'
  assert language.score(mixed, {'language': 'en'}).value == pytest.approx(4 / 10)
  assert language.score(mixed, {}).value == pytest.approx(4 / 10)  # English, if nothing else is asked for
  assert language.score(f' {ZH} </think> <answer> 5 </answer>', {'language': 'zh', 'prefill': '<think>'}).value == 1.0
  for silent in ('', EN, '<think></think> <answer> five </answer>', f'</think> {EN}'):
    assert language.score(silent, {'language': 'en'}).value == 0.0, silent


def test_a_mark_that_combines_belongs_to_its_word():
  assert language.words('re\u0301sume\u0301 a\u0301') == [('re\u0301sume\u0301', 'LATIN'), ('a\u0301', 'LATIN')]


def row(tokens, stopped=True):
  return {'tokens': tokens, 'max_tokens': 100, 'overlong_buffer': 20, 'stopped': stopped}


@pytest.mark.parametrize('tokens, stopped, value', [
    (0, True, 0), (80, True, 0), (85, True, -0.25), (90, True, -0.5), (100, True, -1), (100, False, -1)])
def test_overlong_is_dapos_equation_13(tokens, stopped, value):
  assert rewards.get('overlong').score('', row(tokens, stopped)).value == pytest.approx(value)
  assert rewards.get('length').score('', row(tokens, stopped)).value == pytest.approx(value)


def test_truncated_and_repetition():
  assert rewards.get('truncated').score('', row(100, False)).value == -1
  assert rewards.get('truncated').score('', row(100)).value == 0
  repeat = rewards.get('repetition').score
  assert repeat('one two three four five six', {}).value == 0 and repeat('', {}).value == 0
  assert repeat('so it is then ' * 5, {}).value == pytest.approx(4 / 17 - 1)
  assert repeat('\u4e00\u4e8c\u4e09\u56db' * 5, {}).value == pytest.approx(4 / 17 - 1)
  with pytest.raises(ValueError, match='overlong_buffer=0'):
    rewards.get('overlong').score('', {**row(1), 'overlong_buffer': 0})
