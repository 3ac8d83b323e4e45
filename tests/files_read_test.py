"""files_read: which files a config names, what of them counts, and what a change of one makes anew."""

import hashlib
import json
import os

import pytest

from r1jax import files_read


def files(tmp_path, **texts):
  for name, text in texts.items():
    path = tmp_path / name.replace('__', '/').replace('_DOT_', '.')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


NAMED = [  # value of a part of a config -> files that are noted for it
    ({'task': {'source': 'jsonl:a.jsonl'}}, ['a.jsonl']), ({'task': {'source': 'jsonl:folder'}}, ['folder/b.jsonl', 'folder/c.json']),
    ({'task': [{'source': 'mine.py:rows'}, 'jsonl:a.jsonl']}, ['a.jsonl', 'beside.py', 'deeper.py', 'mine.py']),
    ({'rewards': {'mine.py:f': 1.0, 'accuracy': 1.0}}, ['beside.py', 'deeper.py', 'mine.py']),
    ({'rewards': {'mine.py:f': 0.0}}, []), ({'task': {'reward': 'deeper.py:f'}}, ['beside.py', 'deeper.py', 'mine.py']),
    ({'path': 'a.jsonl'}, ['a.jsonl']), ({'source': 'policy'}, []), ({'answers': 'a.jsonl'}, []),
    ({'task': {'source': 'aime_2024:a.jsonl'}}, ['a.jsonl']), ({'task': {'source': 'aime_2024:standin'}}, []),
    ({'task': {'source': 'jsonl:none.jsonl'}}, []), ({'task': {'source': 'reasoning_gym:chain_sum'}}, []),
    ({'task': {'source': 'torn.py:f'}}, ['torn.py'])]


@pytest.fixture
def here(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  files(tmp_path, a_DOT_jsonl='{}', folder__b_DOT_jsonl='1', folder__c_DOT_json='2', folder__notes_DOT_txt='3',
        mine_DOT_py='import json, beside\n', beside_DOT_py='def g():\n  from deeper import x\n', deeper_DOT_py='import mine\n',
        json_DOT_py='', torn_DOT_py='def (')
  return tmp_path


@pytest.mark.parametrize('part, wanted', NAMED)
def test_what_a_config_names(here, part, wanted):
  found = files_read.noted([part])
  assert sorted({name for entry in found.values() for name in entry}) == wanted
  for entry in found.values():
    for name, each in entry.items():
      assert each['sha256'] == hashlib.sha256((here / name).read_bytes()).hexdigest()
  assert files_read.changes(found, json.loads(json.dumps(found))) == []


def test_what_changed_is_a_clause_and_time_alone_is_nothing(here):
  part = {'rewards': {'mine.py:f': 1.0, 'mine.py:g': 1.0}, 'task': {'source': 'jsonl:a.jsonl'}}
  before = files_read.noted([part])
  os.utime(here / 'a.jsonl', (1, 1))
  assert files_read.changes(before, files_read.noted([part], before)) == []
  (here / 'beside.py').write_text('VALUE = 1\n')  # nor does it import deeper any more
  with open(here / 'a.jsonl', 'a', encoding='utf-8') as f:
    f.write('{}')
  now = files_read.noted([part], before)
  sha = lambda text: hashlib.sha256(text.encode()).hexdigest()[:12]
  assert files_read.changes(before, now) == [
      f'a.jsonl has changed since: its sha256 was {sha("{}")}, now {sha("{}{}")}',
      f'beside.py has changed since: its sha256 was {before["mine.py:f"]["beside.py"]["sha256"][:12]}, now {sha("VALUE = 1" + chr(10))}',
      'deeper.py is read no more']
  assert files_read.changes(now, before)[-1] == 'deeper.py is read as well now'
  (here / 'a.jsonl').unlink()
  assert not any(clause.startswith('a.jsonl') for clause in files_read.changes(before, files_read.noted([part], before)))


def test_a_file_of_the_same_size_and_time_is_read_on_request(here):
  part, looks = {'task': {'source': 'jsonl:a.jsonl'}}, os.stat(here / 'a.jsonl')
  before = files_read.noted([part])
  (here / 'a.jsonl').write_text('[]')
  os.utime(here / 'a.jsonl', ns=(looks.st_atime_ns, looks.st_mtime_ns))
  files_read._sha256.cache_clear()  # another process
  assert files_read.changes(before, files_read.noted([part], before)) == []
  assert len(files_read.changes(before, files_read.noted([part], before, verify=True))) == 1


def test_what_was_moved(here):
  part = lambda where: {'task': {'source': f'jsonl:{where}a.jsonl'}, 'rewards': {f'{where}torn.py:f': 1.0}, 'n': [1]}
  before = files_read.noted([part('')])
  os.mkdir('there')
  for name in ('a.jsonl', 'torn.py'):
    os.rename(name, f'there/{name}')
  moved = files_read.moved(before, files_read.noted([part('there/')]))
  assert files_read.as_before(part('there/'), moved) == part('')
  (here / 'there/a.jsonl').write_text('other')
  assert files_read.moved(before, files_read.noted([part('there/')])) == {'there/torn.py:f': 'torn.py:f'}
  os.rename('there/torn.py', 'there/new.py')  # metrics are called by the name
  assert files_read.moved(before, files_read.noted([{'rewards': {'there/new.py:f': 1.0}}])) == {}
