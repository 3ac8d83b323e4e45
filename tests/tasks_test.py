"""r1jax.data.tasks, corpus, tokenizer, prompts: which questions, which text, which ids."""

import collections
import json
import random
import re

from ml_collections import ConfigDict
import numpy as np
import pytest

from r1jax.data import corpus
from r1jax.data import general
from r1jax.data import overlap
from r1jax.data import prompts
from r1jax.data import tasks
from r1jax.data import tokenizer as tokenizer_lib
from r1jax.exceptions import UserError

CHAIN_SUM = dict(min_terms=4, max_terms=6, min_digits=1, max_digits=1)
SOURCE = 'reasoning_gym:chain_sum'


def chain_sum(split, seed, size=300):
  return tasks.load(SOURCE, size=size, seed=seed, split=split, params=CHAIN_SUM)


# --- questions

def test_splits_share_no_problem_whatever_the_seed():
  asked = {split: set() for split in tasks.SPLITS}
  for split in tasks.SPLITS:
    for seed in (0, 1, 2):
      rows = chain_sum(split, seed)
      texts = [r['expression'] for r in rows]
      assert len(set(texts)) == len(texts) == 300
      assert all(tasks.split_of(t) == split for t in texts)
      asked[split] |= set(texts)
  assert not asked['base'] & asked['train'] and not asked['base'] & asked['heldout']
  assert not asked['train'] & asked['heldout']


def test_rows_depend_on_nothing_but_the_arguments():
  rows = chain_sum('train', 1)
  assert rows == chain_sum('train', 1)
  assert rows[:50] == chain_sum('train', 1, size=50)
  mine, others = ([r['expression'] for r in chain_sum('train', seed)] for seed in (1, 2))
  assert len(set(mine) & set(others)) < 0.1 * len(mine)  # another seed is no shifted copy


def test_rows_say_what_is_asked():
  for row in chain_sum('heldout', 0, size=50):
    total, rest = corpus._terms(row['expression'])
    assert row['answer'] == str(total + sum(t if o == '+' else -t for o, t in rest))
    assert row['answer_type'] == 'int' and row['expression'] in row['question']
  assert len({r['id'] for r in chain_sum('heldout', 0, size=50)}) == 50


def test_a_split_is_about_as_large_as_its_share():
  counts = collections.Counter(tasks.split_of(f'{a} + {b}') for a in range(100) for b in range(50))
  assert {k: round(v / 5000, 1) for k, v in counts.items()} == {'base': 0.7, 'train': 0.2, 'heldout': 0.1}
  assert tasks.split_of('3 + 4 - 5 + 6') == 'base'  # for ever: otherwise old runs trained on what is held out now


@pytest.mark.parametrize('source, split, params, message', [
    (SOURCE, 'test', {}, "no split 'test': one of base, train, heldout"),
    ('csv:x', None, {}, "no source 'csv:x'"),
    ('reasoning_gym:no_such_task', None, {}, 'no_such_task'),
    (SOURCE, None, dict(min_terms=4, max_terms=2), 'max_terms'),
    (SOURCE, None, dict(no_such_key=1), 'no_such_key'),
    (SOURCE, 'heldout', dict(min_terms=1, max_terms=1, min_digits=1, max_digits=1), 'has only .* problems'),
])
def test_what_cannot_be_loaded_says_why(source, split, params, message):
  with pytest.raises(UserError, match=message):
    tasks.load(source, size=20, seed=0, split=split, params=params)


def write(path, *lines):
  path.write_bytes(b''.join((x if isinstance(x, bytes) else x.encode()) + b'\n' for x in lines))
  return str(path)


def test_jsonl(tmp_path):
  path = write(tmp_path / 'a.jsonl', '{"question": "1 + 1", "answer": 2}', '',
               '{"question": "eins?", "answer": "ä", "id": "x", "answer_type": "text", "more": [1]}')
  assert tasks.load(f'jsonl:{path}', size=0, seed=0) == [
      {'id': '1', 'question': '1 + 1', 'answer': '2', 'answer_type': 'int', 'where': f'{path}:1'},
      {'id': 'x', 'question': 'eins?', 'answer': 'ä', 'answer_type': 'text', 'more': [1], 'where': f'{path}:3'}]
  declared = tasks.load(f'jsonl:{path}', size=0, seed=0, params={'answer_type': 'int', 'language': 'de'})
  # A row's own word counts.
  assert [(r['answer_type'], r['language']) for r in declared] == [('int', 'de'), ('text', 'de')]
  assert len(tasks.load(f'jsonl:{path}', size=1, seed=0)) == 1


@pytest.mark.parametrize('source, name', [
    ('reasoning_gym:chain_sum', 'chain_sum'), ('jsonl:/data/my sums.v2.jsonl', 'my_sums_v2'),
    ('parquet:../x.parquet', 'x'), ('champ', 'champ'), ('tfds:gsm8k@test', 'gsm8k_test')])
def test_the_name_of_a_source_is_no_path(source, name):
  assert tasks.name_of(source) == name


def test_rows_for_a_generative_judge_are_for_rejection_sampling_alone(tmp_path):
  ruled = '{"question": "1", "answer": "1", "answer_type": "int"}'
  judged = '{"question": "2", "answer": "x", "grader": "judge"}'
  path = write(tmp_path / 'a.jsonl', judged, ruled)
  task = ConfigDict(dict(source=f'jsonl:{path}', size=0, seed=0, params={}))
  asked = lambda **kw: [row['question'] for row in tasks.asked(task, split=None, template='r1', **kw)]
  assert asked() == asked(size=1) == ['1'] and asked(judged=True) == ['2', '1']  # left out before they are counted
  assert asked(size=2) == ['1']
  write(tmp_path / 'a.jsonl', judged)
  with pytest.raises(UserError, match='every row asks for a generative judge'):
    asked()


@pytest.mark.parametrize('line, message', [
    ('{"question": "1", "answer": "1"', r'a\.jsonl:2: not JSON'),
    ('{"question": "1"}', r'a\.jsonl:2: no answer in this row, has question'),
    ('{"id": "1"}', r'a\.jsonl:2: no question in this row'),
    ('[1, 2]', r'a\.jsonl:2: no object in this row'),
    (b'\xff\xfe\x00{', r'a\.jsonl:2: not JSON'),
])
def test_a_corrupt_line_names_file_and_line(tmp_path, line, message):
  path = write(tmp_path / 'a.jsonl', '{"question": "1 + 1", "answer": "2"}', line)
  with pytest.raises(UserError, match=message):
    tasks.load(f'jsonl:{path}', size=0, seed=0, strict=True)


def test_an_empty_data_set(tmp_path):
  with pytest.raises(UserError, match='empty.jsonl is empty'):
    tasks.load(f"jsonl:{write(tmp_path / 'empty.jsonl', '', '  ')}", size=0, seed=0)
  with pytest.raises(UserError, match='no file .*missing.jsonl'):
    tasks.load(f"jsonl:{tmp_path / 'missing.jsonl'}", size=0, seed=0)
  other = next(q for q in map(str, range(99)) if tasks.split_of(q) != 'heldout')
  path = write(tmp_path / 'base.jsonl', json.dumps({'question': other, 'answer': '1'}))
  with pytest.raises(UserError, match="no rows in split 'heldout'"):
    tasks.load(f'jsonl:{path}', size=0, seed=0, split='heldout')


# --- text

MIXTURE = corpus.Mixture()


def sums(n, seed=0):
  """n rows like chain_sum's, made fast."""
  rng, rows = random.Random(seed), []
  for _ in range(n):
    expression = str(rng.randint(0, 9)) + ''.join(f' {rng.choice("+-")} {rng.randint(0, 9)}' for _ in range(4))
    rows.append({'expression': expression, 'answer': str(eval(expression)), 'question': f'{expression} ='})
  return rows


def test_shares_are_about_as_asked():
  rows = sums(20000)
  pairs = list(corpus.documents(rows, lambda q: f'<{q}>', seed=3, mixture=MIXTURE))
  assert len(pairs) == len(rows)
  share = lambda hits, of: sum(hits) / len(of)
  textbook = [prompt == '' for prompt, _ in pairs]
  assert share(textbook, pairs) == pytest.approx(MIXTURE.textbook, abs=0.02)
  talks = [(row, text) for row, (prompt, text) in zip(rows, pairs) if prompt]
  thought = [(row, text) for row, text in talks if text.startswith(' <think>')]
  worked = [text.startswith(corpus.WORKED_OPENING) for _, text in thought]
  assert share(worked, thought) == pytest.approx(MIXTURE.worked, abs=0.02)
  whole = [text.count('<answer>') == text.count('</answer>') == text.count('</think>') == 1 for _, text in talks]
  assert 1 - share(whole, talks) == pytest.approx(MIXTURE.broken_format, abs=0.02)
  guesses = [(row, text) for row, text in thought if not text.startswith(corpus.WORKED_OPENING)]
  right = [f' It is {row["answer"]}. ' in text for row, text in guesses]
  assert share(right, guesses) == pytest.approx(MIXTURE.guess_right, abs=0.02)
  steps, waits = (sum(text.count(word) for _, text in pairs) for word in (' = ', 'wait'))
  assert waits / (steps - waits) == pytest.approx(MIXTURE.slip * MIXTURE.noticed, abs=0.002)


def test_prompts_are_rendered_and_kept_apart_from_completions():
  pairs = list(corpus.documents(sums(200), lambda q: f'<{q}>', seed=3))
  for row, (prompt, completion) in zip(sums(200), pairs):
    if prompt:
      assert prompt == f'<{row["question"]}>' and row['question'] not in completion
    else:
      assert completion.startswith(row['expression'] + ': ') and completion.endswith('.')
  assert pairs == list(corpus.documents(sums(200), lambda q: f'<{q}>', seed=3))
  assert pairs != list(corpus.documents(sums(200), lambda q: f'<{q}>', seed=4))


def test_work_by_hand():
  rng = random.Random(0)
  none, all_noticed, unnoticed = (corpus.Mixture(slip=s, noticed=n) for s, n in ((0, 0), (1, 1), (1, 0)))
  assert corpus.worked('5 + 9 - 7', rng, none) == ('5 + 9 = 14, 14 - 7 = 7', 7)
  text, value = corpus.worked('5 + 9 - 7', rng, all_noticed)
  assert value == 7 and text.count('wait') == 2 and text.endswith('wait, 14 - 7 = 7')
  text, value = corpus.worked('5 + 9', rng, unnoticed)
  assert value != 14 and text == f'5 + 9 = {value}'
  assert corpus.guess(7, rng, corpus.Mixture(guess_right=1)) == 7
  assert all(corpus.guess(7, rng, corpus.Mixture(guess_right=0)) != 7 for _ in range(100))


# --- ids

@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
  """(tokenizer, documents) as the first stage makes them, smaller."""
  rows = chain_sum('base', 0, size=1500)
  pairs = list(corpus.documents(rows, lambda q: prompts.render('r1_zero', q), seed=0))
  tokenizer = tokenizer_lib.train((p + c for p, c in pairs), str(tmp_path_factory.mktemp('tokenizer')), vocab_size=320,
                                  pieces=prompts.fixed_parts('r1_zero') + corpus.whole_pieces())
  return tokenizer, pairs


def test_round_trip_to_the_letter(tiny):
  tokenizer, pairs = tiny
  for prompt, completion in pairs:
    for text in (prompt, completion, prompt + completion):
      assert tokenizer.decode(tokenizer.encode(text)) == text
    # what is trained on is what is sampled after: a prompt's ids do not depend on what follows
    assert tokenizer.encode(prompt) + tokenizer.encode(completion) == tokenizer.encode(prompt + completion)
  for text in (' two  spaces ', prompts.render('r1_zero', '1 + 2 =', corpus.WORKED_OPENING)):
    assert tokenizer.decode(tokenizer.encode(text)) == text
  assert tokenizer.vocab_size <= 320 and tokenizer.pad_id not in tokenizer.eos_ids


def test_a_prompt_is_short(tiny):
  tokenizer, _ = tiny
  before, after = prompts.fixed_parts('r1_zero')
  assert before.startswith('A conversation') and after == '. Assistant:'
  for part in (before, after):
    assert len(tokenizer.encode(part)) == 1
  rows = chain_sum('train', 1) + chain_sum('heldout', 2)
  asked = prompts.encode(rows, tokenizer, template='r1_zero', max_prompt=24)
  assert len(asked) == 600 and 8 < max(map(len, asked)) <= 24
  for row, ids in zip(rows, asked):
    assert ids[0] == tokenizer.encode(before)[0] and ids[-1] == tokenizer.encode(after)[0]
    assert tokenizer.decode(ids) == prompts.render('r1_zero', row['question'])
  for piece in ('<think>', ' </think>', ' <answer>', '</answer>', ' -13', ' 42'):
    assert len(tokenizer.encode(piece)) == 1


def test_a_prompt_over_the_limit_is_refused(tiny):
  tokenizer, _ = tiny
  row = {'id': 'q7', 'question': '1 + 2 + 3 + 4 ='}
  n = len(tokenizer.encode(prompts.render('r1_zero', row['question'])))
  assert [len(ids) for ids in prompts.encode([row], tokenizer, template='r1_zero', max_prompt=n)] == [n]
  with pytest.raises(UserError, match=f'row q7 has {n} tokens, the limit max_prompt={n - 1}'):
    prompts.encode([row], tokenizer, template='r1_zero', max_prompt=n - 1)
  with pytest.raises(UserError, match='row q7'):  # a prefill counts
    prompts.encode([{**row, 'prefill': ' <think>'}], tokenizer, template='r1_zero', max_prompt=n)


def test_templates():
  assert prompts.render('r1_zero', '1 + {question}').endswith('User: 1 + {question}. Assistant:')
  assert prompts.render('plain', 'x', ' y') == 'x y'
  with pytest.raises(UserError, match="no template 'r2': one of r1_zero"):
    prompts.render('r2', '')


def test_a_tokenizer_is_whole_in_another_place(tiny, tmp_path):
  tokenizer, pairs = tiny
  tokenizer.save(str(tmp_path / 'copy'))
  copy = tokenizer_lib.Tokenizer(str(tmp_path / 'copy'))
  assert copy.encode(pairs[0][1]) == tokenizer.encode(pairs[0][1])
  assert (copy.eos_ids, copy.pad_id, copy.vocab_size) == (tokenizer.eos_ids, tokenizer.pad_id, tokenizer.vocab_size)
  with pytest.raises(UserError, match='no tokenizer in'):
    tokenizer_lib.Tokenizer(str(tmp_path))


def test_training_a_tokenizer_twice_gives_the_same(tiny, tmp_path):
  tokenizer, pairs = tiny
  again = tokenizer_lib.train((p + c for p, c in pairs), str(tmp_path), vocab_size=320,
                              pieces=prompts.fixed_parts('r1_zero') + corpus.whole_pieces())
  ids = lambda t: np.concatenate([t.encode(p + c) for p, c in pairs[:100]])
  np.testing.assert_array_equal(ids(again), ids(tokenizer))


def test_more_rows_than_there_are(tmp_path, caplog):
  (tmp_path / 'q.jsonl').write_text('{"question": "1 + 1 =", "answer": "2"}\n')
  assert len(tasks.load(f'jsonl:{tmp_path}/q.jsonl', size=2, seed=0)) == 1  # a user's file, under a config's size
  assert '1 rows, fewer than size=2: all are asked' in caplog.text
  with pytest.raises(UserError, match='must say how many'):
    tasks.load('reasoning_gym:chain_sum', size=0, seed=0)


def test_parquet(tmp_path):
  pa = pytest.importorskip('pyarrow', reason="reading parquet needs the extra data: pip install -e '.[data]'")
  import pyarrow.parquet as pq
  path = str(tmp_path / 'a.parquet')
  pq.write_table(pa.table({'question': ['1 + 1', '2 + 2'], 'answer': ['2', '4'], 'answer_type': ['int', 'int']}), path)
  rows = tasks.load(f'parquet:{path}', size=0, seed=0)
  assert [(r['question'], r['answer'], r['answer_type'], r['where']) for r in rows] == [
      ('1 + 1', '2', 'int', f'{path}: row 1'), ('2 + 2', '4', 'int', f'{path}: row 2')]
  (tmp_path / 'b.parquet').write_bytes(b'no')
  for name, message in (('b', 'is no parquet file'), ('c', 'no file')):
    with pytest.raises(UserError, match=message):
      tasks.load(f'parquet:{tmp_path}/{name}.parquet', size=0, seed=0)


def test_champ_has_its_plain_numbers():
  pytest.importorskip('champ_dataset', reason="CHAMP needs the extra data: pip install -e '.[data]'")
  from r1jax.rewards import pool
  rows, template = tasks.named('champ')
  with pytest.raises(UserError, match='has only 85 rows'):
    tasks.load('champ', size=86, seed=0)
  assert len(rows) == 85 and template == 'r1_zero' and all(r['question'] for r in rows)
  pool.check_rows(rows)


def test_reasoning_gym_tasks_are_graded_by_their_own_verifiers():
  from r1jax.rewards import format as form, pool
  rows = [row for name in ('caesar_cipher', 'countdown', 'rubiks_cube', 'arc_agi')
          for row in tasks.load(f'reasoning_gym:{name}', size=2, seed=3, split='train')]
  pool.check_rows(rows)
  with pool.Pool(workers=1) as p:
    stated = [r for r in rows if r['answer']]
    found = p.score([('gym', form.ideal(f' {r["answer"]}'), r) for r in stated])
    other = p.score([('gym', form.ideal('nothing like it'), r) for r in rows])
  assert len(stated) == 6 and all(s.value == 1 for s in found)
  assert all(s.value == 0 and s.reason == 'wrong' for s in other)


def test_reasoning_gym_has_more_than_one_right_answer():
  from r1jax.rewards import gym
  row, = [r for r in tasks.load('reasoning_gym:countdown', size=1, seed=1)]
  swapped = f'({row["answer"]}) + 0*0'.replace(' + 0*0', '')
  assert gym.score(rf'<think> a </think> \boxed{{{swapped}}}', row).value == 1 and swapped != row['answer']
  with pytest.raises(ValueError, match="needs 'gym'"):
    gym.check_row({'gym': {'task': 'countdown'}})


def test_questions_that_two_files_share_are_found_by_ten_words():
  long = 'Natalia sold clips to 48 of her friends in April, and then she sold half as many in May.'
  row = lambda question: {'question': question}
  rows = [row(long), row('What is 1 + 1?'), row('Name a prime.')]
  others = [row(f'Read this: {long.upper()} How many?'), row('what is 1 + 1'), row('What is 1 + 2?'), row('Another one.'),
            row('Natalia sold clips to 48 of her enemies in April, and then she sold half as few in May.')]
  assert overlap.shared(rows, others) == 2 and overlap.shared([], others) == 0


def test_words_in_which_all_questions_are_asked_are_no_question_that_two_files_share():
  ask = lambda *terms: {'question': f'State the final answer to the following arithmetic problem, please: {" + ".join(map(str, terms))} ='}
  rows = [ask(i, i + 1, i + 2) for i in range(300)]
  assert overlap.shared(rows, [ask(i, i + 1, i + 3) for i in range(90)]) == 0  # the numbers differ
  assert overlap.shared(rows, [ask(4, 5, 6), ask(4, 5, 7), ask(299, 300, 301)]) == 2


@pytest.mark.parametrize('size, key, said', [
    (3, 'evaluate.task', 'asks 3 of 5 questions of {path} (evaluate.task.size; 0: all)'), (0, 'evaluate.task', ''),
    (5, 'evaluate.task', ''), (3, '', '')])
def test_a_size_that_leaves_questions_unasked_is_said(tmp_path, caplog, size, key, said):
  path = tmp_path / 'rows.jsonl'
  path.write_text(''.join(json.dumps({'question': f'{i} + 1 =', 'answer': i + 1}) + '\n' for i in range(5)))
  task = ConfigDict({**tasks.DEFAULTS, 'source': f'jsonl:{path}', 'size': size})
  tasks.say.cache_clear()
  with caplog.at_level('INFO'):
    for _ in range(2):  # by the check, and by the stage
      rows = tasks.asked(task, split='heldout', template='r1_zero', key=key)
  assert len(rows) == (size or 5)
  assert [line for line in caplog.messages if line.startswith('asks ')] == ([said.format(path=path)] if said else [])


def test_a_size_of_general_questions_is_said(tmp_path, caplog):
  path = tmp_path / 'general.jsonl'
  path.write_text(''.join(json.dumps({'question': f'Why {i}?'}) + '\n' for i in range(60)))
  with caplog.at_level('INFO'):
    general.questions(ConfigDict(dict(source=f'jsonl:{path}', size=2)), seed=0, split='base', template='r1', key='rl.general')
  assert re.search(rf'asks 2 of \d+ questions of {path} \(rl.general.size; 0: all\)', caplog.text)
