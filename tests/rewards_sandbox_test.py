"""The sandbox on honest programs: verdicts, languages, calls, checkers, limits, the cache,
what is an infrastructure failure."""

import concurrent.futures
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from r1jax.exceptions import UserError
from r1jax.rewards import sandbox
from r1jax.rewards.sandbox import boxes, compare, inside, languages, places, programs, seccomp, selftest, values
from r1jax.rewards.sandbox import Limits

SUM = 'print(sum(map(int, input().split())))'
CXX = '#include <bits/stdc++.h>\nusing namespace std;\nint main() { int a, b; cin >> a >> b; cout << a + b << endl; }'
FIVE = [{'stdin': '2 3', 'stdout': '5'}]


@pytest.fixture(scope='module', autouse=True)
def isolated():
  """Skips aloud where no box can be had; that it is refused then is tested in rewards_attacks_test.py."""
  try:
    boxes.level()
  except UserError as e:
    pytest.skip(str(e)[:200])


def verdict(code, test=FIVE[0], language='python', **limits):
  return sandbox.judge(code, language, [test], Limits(**limits))[0]


@pytest.mark.parametrize('code, want', [
    (SUM, 'AC'), ('print(6)', 'WA'), ('print("5", end="")', 'AC'), ('print("5  \\n\\n")', 'AC'), ('print(" 5")', 'WA'),
    ('print(5.0)', 'WA'), ('pass', 'WA'), ('print(5); print(5)', 'WA'), ('while True: pass', 'TLE'),
    ('import time; time.sleep(60)', 'TLE'), ('x = [0] * 10**9', 'MLE'),
    ('x = bytearray(10)\nwhile True: x += bytes(16 << 20)', 'MLE'), ('while True: print("a" * 1000)', 'OLE'),
    ('open("f", "wb").write(bytes(100 << 20))', 'OLE'), ('print(5); raise ValueError', 'RE'),
    ('print(5); exit(3)', 'RE'), ('import os; print(5, flush=True); os.kill(os.getpid(), 11)', 'RE'), ('print(5', 'CE'),
    ('\x00', 'CE'), ('import sys; sys.stdout.write("5")', 'AC'), ('import os; os.write(1, b"5")', 'AC'),
    ('import atexit; atexit.register(print, 5)', 'AC'),
    ('import threading; threading.Thread(target=lambda: print(5)).start()', 'AC'),
    ('print(eval("+".join(open(0).read().split())))', 'AC'), ('raise SystemExit(print(5))', 'AC'),
    ('import sys\nsys.setrecursionlimit(10**6)\nf = lambda n: n and 1 + f(n - 1)\nprint(f(20000) - 19995)', 'AC'),
    ('def main():\n  print(5)\nif __name__ == "__main__": main()', 'AC'),
    ('import multiprocessing as m\nif __name__ == "__main__":\n'
     '  p = m.Process(target=print, args=(5,)); p.start(); p.join()', 'AC'),
    ('import collections, heapq, bisect, math, itertools, functools, re, random, decimal; print(5)', 'AC'),
])
def test_python(code, want):
  assert verdict(code, seconds=5.0 if want == 'MLE' else 1.0) == want  # on a busy machine memory takes its time to fill


@pytest.mark.parametrize('code, want', [
    (CXX, 'AC'), (CXX.replace('a + b', 'a * b'), 'WA'), ('int main() { return 1; }', 'RE'),
    ('int main() { for (volatile int i = 0;; i++); }', 'TLE'), ('int main( { }', 'CE'), ('', 'CE'),
    ('#include <vector>\nint main() { std::vector<char> v; for (;;) v.resize(v.size() + (1 << 24), 1); }', 'MLE'),
    ('int main() { int* p = 0; *p = 1; }', 'RE'),
    ('#include <cstdio>\nint f(int n) { volatile char c[1000]; c[0] = n; return n ? c[0] + f(n - 1) : 0; }\n'
     'int main() { f(30000); puts("5"); }', 'AC'),
])
def test_cpp(code, want):
  assert verdict(code, language='cpp', seconds=5.0 if want == 'MLE' else 1.0) == want


@pytest.mark.parametrize('language, code', [
    ('java', 'import java.util.*; public class Main { public static void main(String[] a) { '
             'Scanner s = new Scanner(System.in); System.out.println(s.nextInt() + s.nextInt()); } }'),
    ('javascript', 'console.log(require("fs").readFileSync(0, "utf8").trim().split(" ").map(Number)'
                   '.reduce((a, b) => a + b))'),
    ('typescript', 'const f = (a: number, b: number): number => a + b; console.log(f(2, 3))'),
    ('csharp', 'class P { static void Main() { var w = System.Console.ReadLine().Split(); '
               'System.Console.WriteLine(int.Parse(w[0]) + int.Parse(w[1])); } }'),
    ('php', '<?php fscanf(STDIN, "%d %d", $a, $b); echo $a + $b;'), ('bash', 'read a b; echo $((a + b))')])
def test_other_languages(language, code):
  try:
    languages.require(language)
  except UserError as e:
    pytest.skip(str(e))
  assert sandbox.judge(code, language, FIVE + [{'stdin': '2 3', 'stdout': '6'}]) == ['AC', 'WA']


def test_a_missing_toolchain_is_an_error_and_no_zero(monkeypatch):
  monkeypatch.setattr(shutil, 'which', lambda name: None)
  with pytest.raises(UserError, match='no mcs and no mono; install mono-mcs'):
    sandbox.judge('class P {}', 'csharp', FIVE)
  with pytest.raises(UserError, match="no language 'cobol': one of python, cpp"):
    sandbox.judge('', 'cobol', FIVE)
  assert languages.find('C++') == 'cpp' and languages.find('Py') == 'python'


@pytest.mark.parametrize('test', [{}, {'stdin': ''}, {'call': 'f'}, {'call': 'f', 'args': []}, {'stdout': ''}])
def test_a_test_of_no_known_form_is_refused(test):
  with pytest.raises(UserError, match="a test has 'stdin' and 'stdout'"):
    sandbox.judge(SUM, 'python', [test])


TWO_SUM = [{'call': 'twoSum', 'args': [[2, 7, 11, 15], 9], 'expected': [0, 1]},
           {'call': 'twoSum', 'args': [[3, 3], 6], 'expected': [1, 0]}]
PYTHON_TWO_SUM = ('class Solution:\n  def twoSum(self, nums, target):\n    return next('
                  '[i, j] for j in range(len(nums)) for i in range(j) if nums[i] + nums[j] == target)')
CXX_TWO_SUM = ('class Solution { public: vector<int> twoSum(vector<int>& nums, int target) {\n'
               'for (int j = 0; j < nums.size(); j++) for (int i = 0; i < j; i++) if (nums[i] + nums[j] == target) '
               'return {i, j}; return {}; } };')


@pytest.mark.parametrize('language, code', [('python', PYTHON_TWO_SUM), ('cpp', CXX_TWO_SUM)])
def test_methods_are_called(language, code):
  assert sandbox.judge(code, language, TWO_SUM) == ['AC', 'WA']


@pytest.mark.parametrize('code, args, expected, want', [
    ('def f(x): return x + 1', [1], 2, 'AC'), ('def f(x): return x / 2', [1], 0.5, 'AC'),
    ('def f(x): return x == 1', [1], True, 'AC'), ('def f(x): return 1', [1], True, 'WA'),
    ('def f(x): return True', [1], 1, 'WA'), ('def f(x): return (1, 2)', [1], [1, 2], 'AC'),
    ('def f(x): return {"a": [1]}', [1], {'a': [1]}, 'AC'), ('def f(x): return {1: 2}', [1], {'1': 2}, 'WA'),
    ('def f(x): return None', [1], None, 'AC'), ('def f(x): return 0.1 + 0.2', [1], 0.3, 'AC'),
    ('def f(x): return 0.31', [1], 0.3, 'WA'), ('def f(x): return float("nan")', [1], 0.3, 'WA'),
    ('def f(x): return x', ['\u00e4\n"\\'], '\u00e4\n"\\', 'AC'), ('def f(x): return object()', [1], 1, 'RE'),
    ('def f(x): return iter([1])', [1], [1], 'RE'), ('f = 3', [1], 1, 'RE'), ('def g(): pass', [1], 1, 'RE'),
    ('def f(x): print("noise"); return x', [10**30], 10**30, 'AC'), ('f = lambda x: [x] * 3', [[1]], [[1]] * 3, 'AC'),
    ('def f(x): return 1', [], 1, 'RE')])
def test_python_calls(code, args, expected, want):
  assert verdict(code, {'call': 'f', 'args': args, 'expected': expected}, seconds=2.0) == want


@pytest.mark.parametrize('code, args, expected, want', [
    ('int f(int a, int b) { return a + b; }', [2, 3], 5, 'AC'),
    ('double f(double x) { return x / 3; }', [1], 1 / 3, 'AC'),
    ('string f(string s) { return s + s; }', ['a"\n\u00e4'], 'a"\n\u00e4' * 2, 'AC'),
    ('bool f(vector<vector<char>>& g) { return g[0][0] == \'x\'; }', [[['x', 'y'], ['z', 'w']]], True, 'AC'),
    ('long long f(long long x) { return x * 2; }', [2**40], 2**41, 'AC'), ('int f(int x) { return x; }', [1], 2, 'WA'),
    ('vector<string> f(map<string, int> m) { return {}; }', [[['a', 1]]], [], 'AC'),
    ('int f(int x) { throw 1; }', [1], 1, 'RE'), ('int g(int x) { return x; }', [1], 1, 'CE'),
    ('int f(vector<int> v) { return v.size(); }', [3], 1, 'RE')])
def test_cpp_calls(code, args, expected, want):
  assert verdict(code, {'call': 'f', 'args': args, 'expected': expected}, 'cpp', seconds=2.0) == want


def test_what_is_changed_in_place():
  test = {'call': 'f', 'args': [[3, 1, 2]], 'expected': [1, 2, 3], 'inplace': 0}
  assert verdict('def f(v): v.sort()', test) == 'AC' and verdict('def f(v): return sorted(v)', test) == 'WA'
  assert verdict('void f(vector<int>& v) { sort(v.begin(), v.end()); }', test, 'cpp') == 'AC'


def test_a_special_checker_judges_in_a_box_of_its_own():
  checker = {'language': 'python',
             'code': 'import json, sys\nd = json.load(sys.stdin)\na, b = map(int, d["output"].split())\n'
                     'print("AC" if a * b == int(d["stdin"]) else "WA")'}
  test = {'stdin': '12', 'checker': checker}
  assert [verdict(f'print({pair})', test) for pair in ('3, 4', '2, 6', '2, 5')] == ['AC', 'AC', 'WA']
  assert verdict('print("x")', test) == 'WA'  # the checker died of it
  # No fault of the program.
  assert verdict('print(1)', {'stdin': '', 'checker': {'language': 'cpp', 'code': 'no'}}) == 'IE'


def test_check_sees_values_and_never_the_program():
  check = ('def f(x):\n  return {x: (x, [x])}\ndef check(candidate):\n  for i in range(3):\n'
           '    assert candidate(i) == {i: (i, [i])}\n')
  test = {'call': 'f', 'check': check}
  assert verdict('def f(x): return {x: (x, [x])}', test) == 'AC'
  assert verdict('def f(x): return {x: [x, [x]]}', test) == 'WA'  # a tuple was wanted
  assert verdict('class Yes(dict):\n  __eq__ = lambda *a: True\ndef f(x): return Yes()', test) == 'WA'  # what it holds gets out
  assert verdict('import os\nos.write(3, b"5")\nos._exit(0)', test) == 'RE'
  assert verdict('import os\nos.write(3, b"[[]]")\nos._exit(0)', test) == 'RE'
  with pytest.raises(ValueError, match='does not accept its own reference f'):
    verdict('def f(x): pass', {'call': 'f', 'check': 'def f(x): return 1\ndef check(c): assert c(1) == 2'})


@pytest.mark.parametrize('value', [
    {'__r1jax__': 'tuple'}, {'__r1jax__': 'dict', 'items': 5}, {'__r1jax__': 'set', 'items': [[1]]},
    {'__r1jax__': 'os', 'items': []}, {'a': 1}, {'__r1jax__': 'dict', 'items': [[1]]},
    {'__r1jax__': 'complex', 'items': ['a']}])
def test_forged_tags_are_no_values(value):
  with pytest.raises(ValueError, match='no value'):
    compare.untagged(values.dumps([value]))


def test_values_survive_the_way_out():
  for value in (1, [1, (2, {3})], {'a': {1: 'b'}}, (1 + 2j, None), [float('inf')]):
    assert compare.untagged(values.dumps(values.plain(value))) == value


def test_a_prefix_of_the_right_output_is_wrong():
  for said in ('1\n2', '1\n2\n3\n4', '1 2 3', '', '1\n\n2\n3'):
    assert not compare.same_output(said.encode(), '1\n2\n3')
  assert compare.same_output(b'1 \r\n2\n3\n\n', '1\n2\n3') and compare.same_output(b'0.3333333', '0.33333334', 1e-6)
  assert not compare.same_output(b'0.34', '0.33333334', 1e-6) and not compare.same_output(b'nan', '1.0', 1.0)
  assert not compare.same_output(b'1.0', '1')


def test_tests_do_not_see_each_other():
  count = 'import os\nn = len(os.listdir("."))\nopen("left", "w").write("x")\nprint(n)'
  assert sandbox.judge(count, 'python', [{'stdin': '', 'stdout': '0'}] * 3) == ['AC'] * 3
  assert sandbox.judge(count, 'python', [{'stdin': '', 'stdout': '0'}] * 2, fresh_boxes=True) == ['AC'] * 2


def test_one_test_does_not_cost_the_others():
  code = 'x = input()\nif x == "loop":\n  while True: pass\nif x == "die": import os; os.kill(-1, 9)\nprint(x)'
  tests = [{'stdin': x, 'stdout': x} for x in ('a', 'loop', 'b', 'die', 'c')]
  judged = sandbox.judge(code, 'python', tests, Limits(seconds=1.0))
  assert judged == ['AC', 'TLE', 'AC', 'RE', 'AC']
  limits = Limits(seconds=1.0, total_seconds=1.5)
  assert sandbox.judge(code, 'python', [{'stdin': 'loop', 'stdout': ''}] * 4, limits) == ['TLE'] * 4


def test_a_box_that_dies_is_tried_again_and_then_an_infrastructure_failure(monkeypatch):
  died = []

  def dies(self, *args, **kwargs):
    died.append(1)
    if len(died) == 1 or always:
      raise boxes.BoxFailed('gone')
    return real(self, *args, **kwargs)

  real, always = boxes.Box.ask, False
  monkeypatch.setattr(boxes.Box, 'ask', dies)
  assert verdict(SUM) == 'AC' and len(died) == 2
  always = True
  result = sandbox.run(SUM, 'python', FIVE)[0]
  assert result.verdict == 'IE' and result.detail == 'gone'


def test_compiled_programs_are_kept(monkeypatch):
  code = f'{CXX} // {os.urandom(8).hex()}'
  assert verdict(code, language='cpp') == 'AC'
  monkeypatch.setattr(programs, '_in_box', lambda *a: pytest.fail('compiled again'))
  assert sandbox.judge(code, 'cpp', FIVE * 3) == ['AC'] * 3


def test_a_cache_that_others_may_write_is_refused(tmp_path, monkeypatch):
  tmp_path.chmod(0o777)
  monkeypatch.setenv('R1JAX_SANDBOX_CACHE', str(tmp_path))
  with pytest.raises(UserError, match='writable by others'):
    places.cache_directory()


def test_from_threads():
  with concurrent.futures.ThreadPoolExecutor(4) as threads:
    found = list(threads.map(
        lambda i: sandbox.judge(SUM, 'python', [{'stdin': f'{i} 1', 'stdout': f'{i + i % 2}'}]), range(12)))
  assert found == [['AC' if i % 2 else 'WA'] for i in range(12)]


def test_when_the_parent_is_killed_nothing_goes_on():
  box = boxes.Box(boxes.level(), disk_bytes=1 << 20)
  limits = {'seconds': 5, 'wall_seconds': 9, 'memory_bytes': 1 << 28, 'output_bytes': 100, 'disk_bytes': 1 << 20,
            'processes': 8, 'address_space': True}
  assert box.ask({'limits': limits}, 20, source=b'print(1)', call=b'null')['stdout'] == b'1\n'  # it has started
  children = open(f'/proc/{box.process.pid}/task/{box.process.pid}/children').read().split()
  os.kill(box.process.pid, signal.SIGKILL)
  end = time.monotonic() + 5
  while any(os.path.exists(f'/proc/{pid}') for pid in children) and time.monotonic() < end:
    time.sleep(0.02)
  assert not any(os.path.exists(f'/proc/{pid}') for pid in children)
  box.close()


def test_what_was_left_is_swept_and_what_runs_is_not():
  if os.getuid():
    pytest.skip('without root boxes have no uid of their own')
  left = subprocess.Popen(['setpriv', f'--reuid={places.FIRST_UID + places.SLOTS - 1}', '--clear-groups', 'sleep', '60'])
  open(os.path.join(places.slots_directory(), str(places.SLOTS - 1)), 'ab').close()
  time.sleep(0.3)
  with boxes.Box(boxes.level(), disk_bytes=1 << 20) as box:
    assert left.pid in places.left_behind() and box.process.pid not in places.left_behind()
    places.sweep()
    assert left.wait(timeout=5) == -signal.SIGKILL and box.process.poll() is None


def test_the_self_test_passes_and_finds_a_box_that_does_not_hold(monkeypatch):
  selftest.run.cache_clear()
  assert selftest.run() == boxes.level()
  selftest.run.cache_clear()
  real = boxes._bubblewrap
  monkeypatch.setattr(boxes, '_bubblewrap', lambda *a: [
      w for w in real(*a)[:-1] if w not in ('--unshare-all', '--hostname', 'box')] + [
          '--unshare-pid', '--bind', '/tmp', '/tmp', '--'])
  if boxes.level() == 'strong':
    with pytest.raises(UserError, match='does not hold: a program that tries to get out'):
      selftest.run()
  selftest.run.cache_clear()


def test_the_filter_is_small_and_the_same_each_time():
  seccomp.program.cache_clear()
  first = seccomp.program()
  seccomp.program.cache_clear()
  assert seccomp.program() == first and len(first) % 8 == 0 and len(first) // 8 < 4096
  assert not set(seccomp.ALLOWED) & set(seccomp.REFUSED)


def test_inside_speaks_json():
  for value in ({'a': [1, 2.5, None, True, 'x"\n\u00e4']}, [], 'text'):
    assert inside.loads(inside.dumps(value)) == value


def test_a_path_of_the_box_is_found_once_in_a_word():
  """/prog/prog is a file below /prog: at the level without namespaces no C++ ran where both were replaced."""
  box = boxes.Box.__new__(boxes.Box)
  box._real = {'/tmp': '/home/1', '/prog': '/cache/a'}
  assert box.paths(('/prog/prog', '-out:/tmp/main.exe', '-cp', '/prog', '/programs')) == [
      '/cache/a/prog', '-out:/home/1/main.exe', '-cp', '/cache/a', '/programs']


def test_what_a_box_reads_is_never_written_again():
  """Another box may be reading it: half of landlock.py was a right program's RE."""
  path = boxes._landlock()
  before = os.stat(path).st_mtime_ns
  boxes._landlock.cache_clear()
  assert boxes._landlock() == path and os.stat(path).st_mtime_ns == before
  assert pathlib.Path(path).read_bytes() == pathlib.Path(boxes._LANDLOCK).read_bytes()
