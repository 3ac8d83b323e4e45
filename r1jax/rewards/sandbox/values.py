"""Values on their way through the wall of a box, as tagged JSON: {'__r1jax__': KIND, 'items': [...]}.

The same text stands in a program's box, in a checker's, and out here: standard library only, and little of it, as each
box is a fresh interpreter.
"""

import _collections
import _json
import sys

TAG = '__r1jax__'
MOST = 1 << 20  # items of an iterator, nodes of a list or a tree


class ListNode:
  """LeetCode's."""

  def __init__(self, val=0, next=None):  # pylint: disable=redefined-builtin
    self.val, self.next = val, next


class TreeNode:
  """LeetCode's."""

  def __init__(self, val=0, left=None, right=None):
    self.val, self.left, self.right = val, left, right


class NoNode(list):
  """Where a node is returned, and there is none: as good as an empty list, and as None."""


class _Json:
  """What json.JSONDecoder hands to its scanner in C."""
  strict, object_hook, object_pairs_hook, parse_float, parse_int, memo = False, None, None, float, int, {}
  parse_constant = staticmethod(float)


_scan = _json.make_scanner(_Json)


def loads(text):
  return _scan(text, 0)[0]


def _unknown(value):
  raise TypeError(f'{type(value).__name__} is not JSON')


def dumps(value):
  encoder = _json.make_encoder(None, _unknown, _json.encode_basestring_ascii, None, ':', ',', False, False, True)
  return ''.join(encoder(value, 0))


def tag(kind, *items):
  return {TAG: kind, 'items': list(items)}


def plain(value, depth=250):
  """Tagged JSON of a value. Of a subclass only what its base holds gets out, so that no __eq__ or __iter__ of its own
  can answer for it.

  Raises:
    TypeError: a value that cannot be told from its parts; ValueError: nested or long without end.
  """
  if depth < 0:
    raise ValueError('the value is nested too deeply')
  inner = lambda values: [plain(v, depth - 1) for v in values]
  if value is None or isinstance(value, bool):
    return value
  if isinstance(value, int):
    value = int.__add__(value, 0)
    return value if value.bit_length() < 14000 else tag('int', hex(value))  # digits by the thousand are refused as text
  if isinstance(value, float):
    return float.__mul__(value, 1.0)
  if isinstance(value, str):
    return str.__str__(value)
  if isinstance(value, list):
    return inner(list.__iter__(value))
  if isinstance(value, tuple):
    return tag('tuple', *inner(tuple.__iter__(value)))
  if isinstance(value, (set, frozenset)):
    return tag('set', *inner((set if isinstance(value, set) else frozenset).__iter__(value)))
  if isinstance(value, dict):
    return tag('dict', *(inner(pair) for pair in dict.items(value)))
  if isinstance(value, _collections.deque):
    return tag('deque', *inner(_collections.deque.__iter__(value)))
  return _rare(value, inner)


def _rare(value, inner):
  kind = type(value)
  if kind is complex:
    return tag('complex', value.real, value.imag)
  if kind is range:
    return tag('range', *inner((value.start, value.stop, value.step)))
  if kind in (bytes, bytearray):
    return tag('bytes', value.hex())
  if kind.__name__ == 'ListNode':
    return _list_of(value, inner)
  if kind.__name__ == 'TreeNode':
    return tag('TreeNode', *inner(_levels(value)))
  if (kind.__module__, kind.__name__) == ('fractions', 'Fraction'):
    return tag('Fraction', *inner((value.numerator, value.denominator)))
  if (kind.__module__, kind.__name__) == ('decimal', 'Decimal'):
    return tag('Decimal', str(value))
  if hasattr(kind, '__next__') or kind.__name__ in ('dict_keys', 'dict_values', 'dict_items'):
    items = []
    for item in value:
      items.append(item)
      if len(items) > MOST:
        raise ValueError('an iterator without end')
    return tag('keys' if kind.__name__ == 'dict_keys' else 'iterator', *inner(items))
  raise TypeError(f'a {kind.__name__} is not a value that can be returned')


def _list_of(node, inner):
  """ListNode: [values, where its end leads back to or -1]."""
  seen, found = {}, []
  while node is not None and id(node) not in seen:
    seen[id(node)] = len(seen)
    found.append(node.val)
    node = node.next
    if len(seen) > MOST:
      raise ValueError('a list of nodes without end')
  return tag('ListNode', inner(found), -1 if node is None else seen[id(node)])


def _levels(root):
  """Values level by level, None where no child is, as LeetCode writes trees."""
  found, queue, at = [], [root], 0
  while at < len(queue):
    node = queue[at]
    at += 1
    found.append(None if node is None else node.val)
    if node is not None:
      queue += [node.left, node.right]
    if len(queue) > 2 * MOST:
      raise ValueError('a tree without end')
  while found and found[-1] is None:
    found.pop()
  return found


def fancy(value, nodes=None, depth=250):
  """The inverse of `plain`.

  Args:
    nodes: {'ListNode': class, 'TreeNode': class} to make nodes of; None: nodes and deques are lists.

  Raises:
    ValueError, TypeError, KeyError: no value: it may come from a box, and be anything; without `nodes`, an iterator.
  """
  if depth < 0:
    raise ValueError('nested too deeply')
  inner = lambda values: [fancy(v, nodes, depth - 1) for v in values]
  if isinstance(value, list):
    return inner(value)
  if not isinstance(value, dict):
    return value
  if set(value) != {TAG, 'items'} or not isinstance(value['items'], list):
    raise ValueError(f'no value: an object with {sorted(value)[:5]}')
  kind, items = value[TAG], inner(value['items'])
  if kind in ('ListNode', 'TreeNode'):
    return _nodes(kind, items, nodes)
  if nodes is None and kind in ('iterator', 'keys'):
    raise ValueError('an iterator is no value to compare')
  if nodes is None and kind == 'deque':
    return items
  return _MAKE[kind](items)


def _nodes(kind, items, nodes):
  if kind == 'ListNode':
    values, back = items
    if nodes is None and back >= 0:
      raise ValueError('a list that ends in a circle is no list of values')
    return (values or NoNode()) if nodes is None else linked(values, nodes['ListNode'], back)
  return (items or NoNode()) if nodes is None else tree(items, nodes['TreeNode'])


def _fraction(items):
  import fractions
  return fractions.Fraction(*items)


def _decimal(items):
  import decimal
  return decimal.Decimal(*items)


_MAKE = {
    'tuple': tuple, 'set': set, 'dict': dict, 'deque': _collections.deque, 'iterator': iter,
    'keys': lambda items: dict.fromkeys(items).keys(), 'int': lambda items: int(items[0], 16),
    'complex': lambda items: complex(*items), 'range': lambda items: range(*items),
    'bytes': lambda items: bytes.fromhex(items[0]), 'Fraction': _fraction, 'Decimal': _decimal}


def linked(values, node, back=-1):
  """A list of nodes, None of no values; its end leads to number `back`, if that is none below 0."""
  made = []
  for value in values:
    one = node.__new__(node)
    one.val, one.next = value, None
    if made:
      made[-1].next = one
    made.append(one)
  if made and back >= 0:
    made[-1].next = made[back]
  return made[0] if made else None


def tree(values, node):
  """The tree of `_levels`."""
  made = []
  for value in values:
    one = None if value is None else node.__new__(node)
    if one is not None:
      one.val, one.left, one.right = value, None, None
    made.append(one)
  rest = iter(made[1:])
  for one in made:
    if one is not None:
      one.left, one.right = next(rest, None), next(rest, None)
  return made[0] if made else None


def as_nodes(value, kind, nodes):
  """What a test writes as lists, as a parameter of the annotation `kind` wants it."""
  name = 'ListNode' if 'ListNode' in kind else 'TreeNode' if 'TreeNode' in kind else None
  if name is None or not (value is None or isinstance(value, list)):
    return value
  make = linked if name == 'ListNode' else tree
  if kind.partition('Node')[0].count('[') - kind.partition('Node')[0].count('Optional[') > 0:
    return [make(v or [], nodes[name]) for v in value]
  return make(value or [], nodes[name])


def no_digit_limit():
  """Programs may write and read whole numbers of any length."""
  if hasattr(sys, 'set_int_max_str_digits'):
    sys.set_int_max_str_digits(0)
