"""In the box: Python source run as the main program of a forked child, and functions of it called.

What is called gets the names that LeetCode gives (List, Counter, heapq, inf, ListNode ...) where it uses them.
"""

import os
import sys

if __name__ != '__main__':  # in the box they stand in one file (boxes._inside)
  from r1jax.rewards.sandbox.values import ListNode, TreeNode, as_nodes, dumps, fancy, no_digit_limit, plain, tag

SYNTAX = 77  # exit code for source that does not compile
_NODES = {'ListNode': ListNode, 'TreeNode': TreeNode}
# What `from MODULE import *` gives there, so that nothing is imported to find out; None: a module that costs nothing.
_STARS = {name: names and frozenset(names.split()) for name, names in {
    'typing': 'Any Callable Collection Container DefaultDict Deque Dict Final FrozenSet Generator Generic Hashable '
              'Iterable Iterator List Literal Mapping MutableMapping NamedTuple Optional Protocol Sequence Set Sized '
              'Text Tuple Type TypedDict TypeVar Union cast',
    'collections': 'ChainMap Counter OrderedDict defaultdict deque namedtuple UserDict UserList',
    'heapq': 'heappush heappop heapify heapreplace merge nlargest nsmallest heappushpop',
    'bisect': 'bisect bisect_left bisect_right insort insort_left insort_right',
    'math': None, 'itertools': None,
    'functools': 'cache cached_property cmp_to_key lru_cache partial reduce total_ordering wraps singledispatch',
    'operator': 'itemgetter attrgetter methodcaller add sub mul truediv floordiv mod xor or_ and_ not_ neg lt le gt ge '
                'eq ne concat contains countOf indexOf iadd imul ior iand ixor inv invert lshift rshift',
    'string': 'ascii_letters ascii_lowercase ascii_uppercase digits hexdigits octdigits printable punctuation '
              'whitespace',
    'copy': 'copy deepcopy', 'random': 'random choice choices randint randrange sample seed shuffle uniform',
    're': 'match fullmatch search sub subn split findall finditer escape',
    'statistics': 'mean median mode multimode fmean pstdev stdev variance pvariance median_low median_high',
    'datetime': 'date datetime time timedelta timezone', 'json': 'dumps loads', 'io': 'StringIO BytesIO',
    'sys': 'maxsize setrecursionlimit stdin stdout stderr', 'time': 'perf_counter monotonic sleep',
    'decimal': 'Decimal getcontext', 'fractions': 'Fraction',
    'sortedcontainers': 'SortedList SortedDict SortedSet SortedKeyList'}.items()}
_MODULES = frozenset((*_STARS, 'array', 'queue', 'enum', 'dataclasses', 'abc', 'types', 'numbers', 'cmath', 'textwrap',
                      'calendar', 'threading'))


def run_source(source, call):
  """Runs it in this very process, and ends it: no interpreter is started again.

  call: None of a whole program; of `call_functions`; {}: LeetCode's names, and nothing to call.
  """
  files = [open(0, 'r', encoding='utf-8', errors='replace', closefd=False),
           open(1, 'w', encoding='utf-8', errors='replace', closefd=False),
           open(2, 'w', encoding='utf-8', errors='backslashreplace', buffering=1, closefd=False)]
  sys.stdin, sys.stdout, sys.stderr = files
  sys.__stdin__, sys.__stdout__, sys.__stderr__ = files
  sys.argv = ['solution.py']
  no_digit_limit()
  builtins = sys.modules['builtins']
  builtins.exit = builtins.quit = sys.exit  # what site.py gives
  module = type(sys)('__main__')
  module.__dict__['__builtins__'] = builtins
  if call:
    module.__name__ = 'solution'
  sys.modules['__main__'] = module
  try:
    code = compile(source, 'solution.py', 'exec', dont_inherit=True)
  except BaseException:  # pylint: disable=broad-except; SyntaxError, and what a parser dies of
    sys.excepthook(*sys.exc_info())
    sys.stderr.flush()
    os._exit(SYNTAX)
  status = 0
  try:
    given = give_names(module.__dict__, code, source) if call is not None else {}
    exec(code, module.__dict__)
    if call:
      call_functions({name: v for name, v in module.__dict__.items() if given.get(name, module) is not v}, call)
  except SystemExit as e:
    status = e.code if isinstance(e.code, int) else int(e.code is not None)
  except BaseException:  # pylint: disable=broad-except
    sys.excepthook(*sys.exc_info())
    status = 1
  try:
    if 'threading' in sys.modules:
      sys.modules['threading']._shutdown()
    import atexit
    atexit._run_exitfuncs()
    files[1].flush()
    if sys.stdout is not files[1]:
      sys.stdout.flush()
  except BaseException:  # pylint: disable=broad-except
    status = status or 1
  os._exit(status & 255)


def _used(code):
  """Names that code, and all that is defined in it, may look up."""
  found, stack = set(), [code]
  while stack:
    one = stack.pop()
    found.update(one.co_names)
    stack += [c for c in one.co_consts if isinstance(c, type(one))]
  return found


def give_names(names, code, source):
  """Sets what the source uses of LeetCode's names, and returns them; what it defines or imports itself comes later, and
  counts."""
  given = dict(_NODES)
  for name in _used(code) - set(dir(sys.modules['builtins'])) - _NODES.keys():
    attribute = _attribute(source, name) if name in _MODULES else ''
    module = name if attribute else _module_of(name)
    try:
      found = module and __import__(module)
    except ImportError:  # of sortedcontainers, where it is not installed
      continue
    # Of a module and a function of one name (bisect, datetime) the one that has what stands behind the dot.
    if module:
      given[name] = found if attribute and hasattr(found, attribute) else getattr(found, name, found)
  names.update(given)
  return given


def _attribute(source, name):
  """What stands behind the first `name.` in the source; '' where nothing does."""
  at = source.find(name + '.')
  while at > 0 and (source[at - 1].isalnum() or source[at - 1] in '_.'):
    at = source.find(name + '.', at + 1)
  start = end = at + len(name) + 1
  while at >= 0 and end < len(source) and (source[end].isalnum() or source[end] == '_'):
    end += 1
  return source[start:end]


def _module_of(name):
  """The first module that gives the name, or None."""
  if name in ('math', 'itertools'):
    return name
  for module, public in _STARS.items():
    if name in (public or dir(__import__(module))):
      return module
  return None


def call_functions(names, call, depth=250, write=os.write):
  """Calls what the test names with each of its arguments, and hands out what came back as tagged JSON.

  names: what the program defines, and none of those that it was given.
  call: name; calls, each a list of arguments, or {'items': [list, dict]}; inplace, the number of an argument
  that is judged instead, or -1; types and returns, annotations of what a test writes as lists; seen: whether arguments
  that were changed are handed out, too.
  """
  name = call['name'].rpartition('.')[2]
  target = names[name] if name in names else getattr(names['Solution'](), name)
  nodes = {kind: names.get(kind, own) for kind, own in _NODES.items()}
  typed = not call.get('seen')
  types, returns = _annotations(target, call) if typed else ({}, '')
  results = []
  for one in call['calls']:
    args, kwargs = one['items'] if isinstance(one, dict) else (one, None)
    args, kwargs = fancy(args, nodes), fancy(kwargs, nodes) if kwargs else {}
    if typed:
      args = [as_nodes(value, types.get(i, ''), nodes) for i, value in enumerate(args)]
      kwargs = {key: as_nodes(value, types.get(key, ''), nodes) for key, value in kwargs.items()}
    before = [plain(value, depth) for value in (*args, *kwargs.values())] if call.get('seen') else None
    returned = target(*args, **kwargs)
    if call.get('seen'):
      after = [plain(value, depth) for value in (*args, *kwargs.values())]
      results.append([plain(returned, depth), [[i, b] for i, (a, b) in enumerate(zip(before, after)) if a != b]])
      continue
    value = (*args, *kwargs.values())[call['inplace']] if call['inplace'] >= 0 else returned
    none = value is None and ('ListNode' in returns or 'TreeNode' in returns)
    results.append(tag('TreeNode') if none else plain(value, depth))
  data = dumps(results).encode()
  while data:
    data = data[write(3, data):]


def _annotations(target, call):
  """({number or name of a parameter: its annotation}, annotation of what is returned): the test's, else the program's
  own."""
  given = call.get('types')
  function = getattr(target, '__func__', target)
  code = getattr(function, '__code__', None)
  parameters = code.co_varnames[:code.co_argcount] if code else ()
  if function is not target:
    parameters = parameters[1:]
  said = getattr(function, '__annotations__', {})
  types = list(given) if given else [str(said.get(name, '')) for name in parameters]
  by = dict(enumerate(types))
  by.update(zip(parameters, types))
  return by, call.get('returns') or str(said.get('return', ''))
