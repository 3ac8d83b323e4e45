"""Programs as they are published and written: LeetCode's names and nodes, calls by keyword, values, comparisons, fences."""

import json

import pytest

import leetcode_programs
from r1jax.rewards import code, pool
from r1jax.rewards import sandbox
from r1jax.rewards.sandbox import Limits, values


def verdict(source, test, language='python', **limits):
  return str(sandbox.judge(source, language, [test], Limits(**limits))[0])


def call(name, args, expected, **more):
  return {'call': name, 'args': args, 'expected': expected, **more}


@pytest.mark.parametrize('source', ['print(1)\nexit()', 'print(1)\nquit()', 'print(1)\nexit(0)', 'import sys\nprint(1)\n'
                                    'sys.exit()', 'print(1)\nraise SystemExit', 'def main():\n  print(1)\n  exit()\nmain()'])
def test_programs_end_as_they_do_outside(source):
  assert verdict(source, {'stdin': '', 'stdout': '1'}) == 'AC'
  assert verdict(source.replace('exit()', 'exit(1)').replace('quit()', 'quit(2)').replace('exit(0)', 'exit("no")')
                 .replace('raise SystemExit', 'raise SystemExit(3)'), {'stdin': '', 'stdout': '1'}) == 'RE'


# One that each line could not do without: what LeetCode imports for everyone.
@pytest.mark.parametrize('body, expected', [
    ('x: List[int] = [1]; return x', [1]), ('x: Optional[Dict[str, Set[int]]] = None; return x', None),
    ('return sorted(Counter("aab").items())', [['a', 2], ['b', 1]]), ('return collections.Counter("aab")["a"]', 2),
    ('d = defaultdict(list); d[1].append(2); return d[1]', [2]), ('q = deque([1, 2]); q.popleft(); return list(q)', [2]),
    ('h = []; heappush(h, 2); heapq.heappush(h, 1); return heappop(h)', 1), ('return bisect_left([1, 3], 2)', 1),
    ('return bisect.bisect_right([1, 3], 3)', 2), ('return bisect([1, 3], 1)', 1), ('return math.gcd(4, 6)', 2),
    ('return gcd(4, 6) + isqrt(9) + comb(4, 2)', 11), ('return inf > 5', True), ('return pow(3, 4, 5)', 1),
    ('return list(accumulate([1, 2]))', [1, 3]), ('return [list(p) for p in itertools.pairwise([1, 2, 3])]', [[1, 2], [2, 3]]),
    ('f = lru_cache(None)(lambda n: n); return f(4)', 4), ('return functools.reduce(operator.mul, [2, 3])', 6),
    ('return sorted([2, 1], key=cmp_to_key(lambda a, b: a - b))', [1, 2]), ('return ascii_lowercase[:2]', 'ab'),
    ('return string.digits[0]', '0'), ('return re.sub("a", "b", "a")', 'b'), ('return deepcopy([1])', [1]),
    ('return copy.copy([1])', [1]), ('return datetime.date(2020, 1, 1).year', 2020), ('return maxsize > 5', True),
    ('return (datetime(2020, 1, 2) - datetime(2020, 1, 1)).days', 1), ('return sys.maxsize > 5', True),
    ('return median([1, 2, 3])', 2), ('return json.dumps([1])', '[1]'), ('return str(Fraction(1, 2))', '1/2'),
    ('gcd = 5; return gcd', 5), ('return random.seed(1)', None)])
def test_leetcodes_names(body, expected):
  assert verdict(f'class Solution:\n  def f(self, n: int):\n    {body}', call('Solution().f', [1], expected)) == 'AC'


def test_names_are_of_functions_that_are_called_alone():
  assert verdict('print(Counter("a")["a"])', {'stdin': '', 'stdout': '1'}) == 'RE'  # a whole program imports its own
  own = 'class Counter:\n  def __init__(self, x): self.x = x\nfrom heapq import heappush as inf\n'
  assert verdict(own + 'def f(x): return Counter(x).x + (inf is not None)', call('f', [1], 2)) == 'AC'


REVERSE = 'class Solution:\n  def f(self, head{}){}:\n    last = None\n    while head:\n' \
          '      head.next, last, head = last, head, head.next\n    return last'
MIRROR = 'class Solution:\n  def f(self, root{}){}:\n    if root:\n' \
         '      root.left, root.right = self.f(root.right), self.f(root.left)\n    return root'


@pytest.mark.parametrize('source, kind, given, expected', [
    (REVERSE, 'ListNode', [1, 2, 3], [3, 2, 1]), (REVERSE, 'ListNode', [], []),
    (MIRROR, 'TreeNode', [1, None, 2, 3], [1, 2, None, None, 3]), (MIRROR, 'TreeNode', [], []),
    (MIRROR, 'TreeNode', [4, 2, 7, 1, 3, 6, 9], [4, 7, 2, 9, 6, 3, 1])])
def test_nodes_are_written_as_lists(source, kind, given, expected):
  annotated = source.format(f': Optional[{kind}]', f' -> Optional[{kind}]')
  assert verdict(annotated, call('f', [given], expected)) == 'AC'
  assert verdict(annotated, call('f', [given], [*expected, 5])) == 'WA'
  typed = dict(types=[f'Optional[{kind}]'], returns=f'Optional[{kind}]')
  assert verdict(source.format('', ''), call('f', [given], expected, **typed)) == 'AC'  # the row knows
  own = f'class {kind}:\n  def __init__(self, x): self.val, self.next, self.left, self.right = x, None, None, None\n'
  assert verdict(own + annotated, call('f', [given], expected)) == 'AC'


def test_lists_of_nodes_and_nodes_in_cpp():
  merge = 'class Solution:\n  def f(self, lists: List[Optional[ListNode]]) -> Optional[ListNode]:\n' \
          '    every = []\n    for one in lists:\n      while one:\n        every.append(one.val)\n        one = one.next\n' \
          '    head = end = ListNode()\n    for v in sorted(every):\n      end.next = ListNode(v)\n      end = end.next\n' \
          '    return head.next'
  assert verdict(merge, call('f', [[[1, 4], [2], []]], [1, 2, 4])) == 'AC'
  reverse = 'class Solution {\npublic:\n  ListNode* f(ListNode* head) {\n    ListNode* last = nullptr;\n' \
            '    while (head) { auto next = head->next; head->next = last; last = head; head = next; }\n    return last;\n' \
            '  }\n};'
  shown = '/** struct ListNode { int val; ListNode *next; }; */\n'
  for source in (reverse, shown + reverse):
    assert verdict(source, call('Solution().f', [[1, 2, 3]], [3, 2, 1]), 'cpp') == 'AC'
  mirror = 'class Solution {\npublic:\n  TreeNode* f(TreeNode* root) {\n    if (root) { swap(root->left, root->right); ' \
           'f(root->left); f(root->right); }\n    return root;\n  }\n};'
  assert verdict(mirror, call('f', [[1, None, 2, 3]], [1, 2, None, None, 3]), 'cpp') == 'AC'


SUBTRACT = 'def f(a, b): return a - b'


@pytest.mark.parametrize('args', [{'a': 5, 'b': 3}, {'b': 3, 'a': 5}, [5, 3]])
def test_calls_by_keyword(args):
  assert verdict(SUBTRACT, call('f', args, 2)) == 'AC'
  assert verdict('def f(b, a): return a - b', call('f', args, 2)) == ('AC' if isinstance(args, dict) else 'WA')


@pytest.mark.parametrize('check, right, wrong', [
    ('assert candidate(a=5, b=3) == 2', SUBTRACT, 'def f(a, b): return b - a'),
    ('assert candidate(5, b=3) == 2\n  assert candidate(b=1, a=1) == 0', SUBTRACT, 'def f(a, b): return a + b'),
    ('x = [2, 1]\n  candidate(x, 0)\n  assert x == [1, 2]', 'def f(a, b): a.sort()', 'def f(a, b): a = sorted(a)'),
    ('x = {1: 2}\n  candidate(x, b=0)\n  assert x == {}', 'def f(a, b): a.clear()', 'def f(a, b): pass'),
    ('assert candidate("aab", 0) == Counter("aab")', 'def f(a, b): return Counter(a)', 'def f(a, b): return Counter()'),
    ('assert candidate("ab", 0) == {"a": 1, "b": 1}', 'def f(a, b):\n  d = defaultdict(int)\n  for c in a: d[c] += 1\n'
     '  return d', 'def f(a, b): return OrderedDict()'),
    ('assert candidate([1, 2], 0) == deque([1, 2])', 'def f(a, b): return deque(a)', 'def f(a, b): return a'),
    ('assert list(candidate([1, 2], 0)) == [1, 2]', 'def f(a, b): return (x for x in a)', 'def f(a, b): return iter(())'),
    ('assert candidate(1, 2) == fractions.Fraction(1, 2)', 'def f(a, b): return Fraction(a, b)',
     'def f(a, b): return Fraction(b, a)'),
    ('assert candidate(3, 0) == range(3)', 'def f(a, b): return range(a)', 'def f(a, b): return [0, 1, 2]'),
    ('assert candidate(5000, 0) == 10 ** 5000', 'def f(a, b): return 10 ** a', 'def f(a, b): return 10 ** a + 1'),
    ('assert candidate("x", 0) == "x"', 'from enum import Enum\nclass E(str, Enum): X = "x"\ndef f(a, b): return E.X',
     'class S(str):\n  __eq__ = lambda *a: True\ndef f(a, b): return S("y")'),
    ('p = candidate(1, 2)\n  assert p[0] == 1 and p == (1, 2)', 'P = namedtuple("P", "x y")\ndef f(a, b): return P(a, b)',
     'def f(a, b): return [a, b]')])
def test_check_with_a_reference_of_its_own(check, right, wrong):
  test = {'call': 'f', 'check': f'import fractions\nfrom collections import *\ndef check(candidate):\n  {check}',
          'reference': right}
  assert verdict(right, test) == 'AC'
  assert verdict(wrong, test) == 'WA'


def test_check_without_a_reference_or_with_nodes():
  assert verdict(SUBTRACT, {'call': 'f', 'check': 'def check(candidate):\n  assert candidate(3, 1) == 2'}) == 'AC'
  assert verdict(SUBTRACT, {'call': 'f', 'check': 'def check(candidate):\n  assert candidate(3, 1) == 4'}) == 'WA'
  nodes = 'def make(values):\n  head = None\n  for v in reversed(values): head = ListNode(v, head)\n  return head\n' \
          'def read(head):\n  found = []\n  while head: found.append(head.val); head = head.next\n  return found\n' \
          'class ListNode:\n  def __init__(self, val=0, next=None): self.val, self.next = val, next\n'
  check = {'call': 'Solution().f', 'check': f'{nodes}def check(candidate):\n'
           '  assert read(candidate(head=make([1, 2, 3]))) == [3, 2, 1]', 'reference': REVERSE.format('', '')}
  assert verdict(REVERSE.format(': Optional[ListNode]', ''), check) == 'AC'
  assert verdict('class Solution:\n  def f(self, head): return head', check) == 'WA'


@pytest.mark.parametrize('row, reason', [
    ({'tests': [{'call': 'f', 'check': 'def check(c):\n  assert c(1) == 2', 'reference': 'def f(x): return x'}]},
     'does not accept its own reference'),
    ({'tests': [{'call': 'f', 'args': [1], 'expected': 2}], 'reference': 'def f(x): return x'}, 'own reference'),
    ({'tests': [{'stdin': '1', 'stdout': '2'}], 'reference': 'print(input())'}, 'own reference'),
    ({'tests': [{'stdin': '1', 'stdout': '1', 'compare': 'sorted'}]}, 'compare='),
    ({'tests': [{'stdin': '1', 'stdout': '1'}], 'reference': 'print(input())'}, None),
    ({'tests': [{'call': 'f', 'check': 'def f(x): return x\ndef check(c):\n  assert c(1) == 1'}]}, None)])
def test_a_row_is_tried_on_its_own_reference(row, reason):
  found = pool.unreadable([{'id': '1', 'reward': 'code', **row}])
  assert (not found) if reason is None else reason in found[0][1]


@pytest.mark.parametrize('how, said, expected, right', [
    ('', '1 2\n3', '1 2 3', False), ('tokens', '1 2\n3', '1 2 3', True), ('tokens', '1 3 2', '1 2 3', False),
    ('any_case', 'YES', 'Yes', True), ('', 'YES', 'Yes', False), ('any_case', 'NO', 'Yes', False),
    ('any_order', '3\n1\n2', '1\n2\n3', True), ('any_order', '3\n1\n1', '1\n2\n3', False),
    ('any_order', '1 2\n2 1', '2 1\n1 2', True), ('any_order_within', '2 1\n3', '1 2\n3', True),
    ('any_order_within', '3\n2 1', '1 2\n3', False), ('tokens,any_order', '3 1\n2', '1 2 3', True),
    (['tokens', 'any_case'], '\n A  b', 'a\nB', True), ('tokens', '1 2 3 4', '1 2 3', False)])
def test_outputs_are_compared_as_a_test_asks(how, said, expected, right):
  test = {'stdin': '', 'stdout': expected, **({'compare': how} if how else {})}
  assert (verdict(f'print({said!r})', test) == 'AC') == right


@pytest.mark.parametrize('how, returned, expected, right', [
    ('any_order', [2, 1], [1, 2], True), ('any_order', [2, 2], [1, 2], False), ('any_order', [[2, 1]], [[1, 2]], False),
    ('any_order any_order_within', [[4, 3], [2, 1]], [[1, 2], [3, 4]], True), ('any_order', [1, 2, 2], [1, 2], False),
    ('any_order_within', [[2, 1], [3]], [[1, 2], [3]], True), ('any_order_within', [[3], [2, 1]], [[1, 2], [3]], False),
    ('any_order', [0.1 + 0.2, 1.0], [1.0, 0.3], True), ('any_case', ['A'], ['a'], True)])
def test_values_are_compared_as_a_test_asks(how, returned, expected, right):
  assert (verdict(f'def f(): return {returned!r}', call('f', [], expected, compare=how)) == 'AC') == right


def test_tolerance_is_of_floats_and_holds_where_lines_may_come_in_any_order():
  test = {'stdin': '', 'stdout': '998244353 0.3333333333', 'tolerance': 1e-6}
  assert verdict('print(998244353, 1 / 3)', test) == 'AC' and verdict('print(998244352, 1 / 3)', test) == 'WA'
  assert verdict('print(2.0000001)\nprint(1 / 3)', {'stdin': '', 'stdout': '0.333333333\n2.0', 'tolerance': 1e-6,
                                                    'compare': 'any_order'}) == 'AC'


def test_large_outputs_and_numbers():
  assert verdict('print("ab\\n" * 600000)', {'stdin': '', 'stdout': 'ab\n' * 600000}) == 'AC'
  assert verdict('print("ab\\n" * 3000000)', {'stdin': '', 'stdout': 'ab\n'}) == 'OLE'
  assert verdict('def f(n): return list(range(n))', call('f', [300000], list(range(300000)))) == 'AC'
  digits = '9' * 6000
  assert verdict('print(int(input()) + 1)', {'stdin': digits, 'stdout': '1' + '0' * 6000}) == 'AC'


def test_a_flood_of_empty_files_is_stopped():
  flood = 'for i in range({}): open(f"f{{i}}", "w").close()\nprint(1)'
  assert verdict(flood.format(300000), {'stdin': '', 'stdout': '1'}) == 'OLE'
  assert verdict(flood.format(500), {'stdin': '', 'stdout': '1'}) == 'AC'


PROGRAM = 'x = int(input())\nif x:\n  print(x)\n'
INDENTED = ''.join('   ' + line + '\n' for line in ['```python', *PROGRAM.splitlines(), '```'])


@pytest.mark.parametrize('completion', [
    f'<think> t </think>\n```python\n{PROGRAM}```', f'<think> t </think> <answer> ```python\n{PROGRAM}``` </answer>',
    f'<think> t </think> <answer>```python\n{PROGRAM}```</answer>', f'<think> t </think> <answer>\n```\n{PROGRAM}```\n</answer>',
    f'<think> t </think>\n1. So:\n{INDENTED}', f'<think> t </think>\n````python\n{PROGRAM}````',
    f'<think> t </think>\n~~~python\n{PROGRAM}~~~', f'<think> t </think>\n``` Python 3\n{PROGRAM}```',
    f'<think> t </think>\n```py3\n{PROGRAM}```', f'<think> t </think>\n```pypy3\n{PROGRAM}```',
    f'<think> t </think>\n```{{.python}}\n{PROGRAM}```', f'<think> t </think>\n```python3.11\n{PROGRAM}```'])
def test_fences_as_models_write_them(completion):
  row = {'tests': [{'stdin': '4', 'stdout': '4'}]}
  assert code.extract(completion, row) == PROGRAM
  assert code.judge(completion, row).value == 1


@pytest.mark.parametrize('name, language', [('Python 3', 'python'), ('GNU C++17', 'cpp'), ('cpp17', 'cpp'), ('C++', 'cpp'),
                                            ('PyPy 3', 'python'), ('Java 8', 'java'), ('nodejs', 'javascript')])
def test_names_of_languages(name, language):
  assert code.language_of({'code_language': name}) == language


@pytest.mark.parametrize('value', [1, True, None, 'a', -0.0, 1.5, pytest.param(2 ** 20000, id='long'), [1, (2, {3})], {'a': {1: 'b'}}, 1 + 2j,
                                   range(1, 9, 2), b'ab', {1: (1,)}])
def test_values_come_back_as_they_were(value):
  again = values.fancy(json.loads(values.dumps(values.plain(value))))
  assert again == value and type(again) is type(value)


def test_two_hundred_programs_and_their_broken_twins():
  items, wanted = [], []
  for source, name, tests, (old, new) in leetcode_programs.PROGRAMS:
    assert source.count(old) == 1, source
    row = {'reward': 'code', 'tests': [call(name, args, expected) for args, expected in tests]}
    for one, right in ((source, 1.0), (source.replace(old, new), 0.0)):
      items.append(('code', f'<think> t </think>\n```python\n{one}\n```', row))
      wanted.append(right)
  with pool.Pool(workers=2) as judges:
    scores = judges.score(items)
  wrong = [(item[1], score.reason) for item, score, right in zip(items, scores, wanted) if score.value != right]
  assert len(items) >= 400 and not wrong, wrong[:3]


# A program must return as often as it is called: a check that ends its own loop early says nothing.
NOTHING = 'import os\nos.write(3, b"[]")\nos._exit(0)\ndef f(x): pass'


@pytest.mark.parametrize('check', [
    'for got, want in zip(map(candidate, [1, 2]), [2, 3]): assert got == want',
    'assert all(map(lambda c: candidate(c[0]) == c[1], [(1, 2)]))', 'assert [candidate(1)] == [2]'])
def test_a_program_that_never_returned_is_not_right(check):
  test = {'call': 'f', 'check': f'def check(candidate):\n  {check}', 'reference': 'def f(x): return x + 1'}
  assert verdict(NOTHING, test) == 'RE'
  assert verdict('def f(x): return x + 1', test) == 'AC'


def test_a_list_that_ends_in_a_circle_is_none():
  circle = 'class Solution:\n  def f(self, head: Optional[ListNode]) -> Optional[ListNode]:\n    end = head\n' \
           '    while end.next: end = end.next\n    end.next = head\n    return head'
  assert verdict(circle, call('f', [[1, 2]], [1, 2])) == 'RE'


@pytest.mark.parametrize('source, expected, want', [
    ('from decimal import Decimal\ndef f(): return Decimal("sNaN")', 3, 'WA'), ('def f(): return Fraction(10 ** 400)', 0.5, 'WA'),
    ('def f(): return range(10 ** 30)', [1], 'WA'), ('def f() -> Optional[ListNode]: return None', None, 'AC'),
    ('def f() -> Optional[ListNode]: return None', [], 'AC'), ('def f() -> Optional[ListNode]: return None', [1], 'WA'),
    ('def f(): return []', None, 'WA'), ('def f(): return None', [], 'WA')])
def test_values_that_compare_with_nothing(source, expected, want):
  assert verdict(source, call('f', [], expected)) == want


def test_many_tuples_in_any_order():
  assert verdict('def f(): return [(i, 0) for i in range(2500)]',
                 call('f', [], [[i, 0] for i in reversed(range(2500))], compare='any_order')) == 'AC'


@pytest.mark.parametrize('said, expected, want', [
    ('998244352.0', '998244353', 'WA'), ('2.9999999', '3', 'AC'), ('3.0000001', '3', 'AC'), ('1e400', '3', 'WA')])
def test_a_whole_number_is_not_approached_in_proportion(said, expected, want):
  assert verdict(f'print("{said}")', {'stdin': '', 'stdout': expected, 'tolerance': 1e-6}) == want
