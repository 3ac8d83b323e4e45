"""Prefixes of answers as a tree: beams and UCT over steps, whatever samples and scores them. No device.

`extend` is a function: (prompts, nodes) -> the children of each node, one more step each, scored; all at once.
"""

import dataclasses
import math


@dataclasses.dataclass
class Node:
  """A prefix of an answer."""
  ids: list[int]
  parent: 'Node | None' = None
  children: list = dataclasses.field(default_factory=list)
  done: bool = False  # ended by itself, or no room is left
  full: bool = False  # the sampler finds no other step behind it
  value: float = 0.0  # what the model of steps says of its last step
  total: float = 0.0  # sum of values backed up through it
  visits: int = 0
  spent: int = 0  # of a root: tokens that were sampled below it

  def mean(self) -> float:
    return self.total / self.visits if self.visits else self.value


def root_of(node: Node) -> Node:
  while node.parent is not None:
    node = node.parent
  return node


def worst(node: Node) -> float:
  """The least value of the steps that lead to a node."""
  return min([node.value] + ([worst(node.parent)] if node.parent and node.parent.parent else []))


def beam(extend, asked: list[list[int]], *, keep: int, roots: list[Node] | None = None) -> list[list[Node]]:
  """Of each question the `keep` prefixes whose worst step is best,
  extended until they end: the ends found, best first. roots: the empty prefixes, for who reads what was spent."""
  live = [[root] for root in roots or [Node([]) for _ in asked]]
  ended = [[] for _ in asked]
  while any(live):
    found = [[] for _ in asked]
    for turn in range(max(map(len, live))):
      # One prefix a question at a time, as the sampler's batch has a row for each.
      some = [i for i, nodes in enumerate(live) if len(nodes) > turn]
      for i, children in zip(some, extend([asked[i] for i in some], [live[i][turn] for i in some])):
        found[i] += children
    for i, children in enumerate(found):
      best = sorted(children, key=worst, reverse=True)[:keep]
      ended[i] += [node for node in best if node.done]
      live[i] = [node for node in best if not node.done][:max(0, keep - len(ended[i]))]
  return [sorted(nodes, key=worst, reverse=True) for nodes in ended]


def finish(extend, asked: list[list[int]], roots: list[Node], *, cap: int) -> None:
  """Trees without an end get one: down by the best means, then step by step the child of the highest value."""
  tips = {}
  for i, root in enumerate(roots):
    if not any(node.done for node in nodes_of(root)):
      tips[i] = root
      while tips[i].children:
        tips[i] = max(tips[i].children, key=lambda n: (n.mean(), n.visits))
  while tips:
    for i, children in zip(list(tips), extend([asked[i] for i in tips], list(tips.values()))):
      tips[i].children = sorted(children, key=lambda n: n.value, reverse=True)[:cap]
      for child in tips[i].children:
        back_up(child, child.value)
      tips[i] = tips[i].children[0]
    tips = {i: node for i, node in tips.items() if not node.done}


def mcts(extend, asked: list[list[int]], *, simulations: int, cap: int, explore: float) -> list[Node]:
  """The root of each question's tree after `simulations` rounds of select, expand, evaluate, back up (UCT)."""
  roots = [Node([]) for _ in asked]
  for _ in range(simulations):
    leaves = [select(root, cap=cap, explore=explore) for root in roots]
    open_ = [i for i, leaf in enumerate(leaves) if not leaf.done]
    for i, children in zip(open_, extend([asked[i] for i in open_], [leaves[i] for i in open_]) if open_ else ()):
      known = {tuple(child.ids) for child in leaves[i].children}
      new = [child for child in children if tuple(child.ids) not in known][:cap - len(leaves[i].children)]
      leaves[i].children += new
      for child in new:
        back_up(child, child.value)
      if not new:
        leaves[i].full = True
        back_up(leaves[i], leaves[i].mean())
    for leaf in leaves:
      if leaf.done:
        back_up(leaf, leaf.value)
  finish(extend, asked, roots, cap=cap)
  return roots


def select(root: Node, *, cap: int, explore: float) -> Node:
  """Down from the root by UCT through nodes that have all their children (`cap`, or as many as there are), to one that
  has not or has ended."""
  node = root
  while node.children and (len(node.children) >= cap or node.full):
    node = max(node.children, key=lambda n: n.mean() + explore * math.sqrt(math.log(node.visits + 1) / (n.visits + 1)))
  return node


def back_up(node: Node | None, value: float) -> None:
  while node is not None:
    node.visits, node.total, node = node.visits + 1, node.total + value, node.parent


def nodes_of(root: Node) -> list[Node]:
  return [root] + [node for child in root.children for node in nodes_of(child)]


def way(node: Node) -> list[Node]:
  """The steps that lead to a node, itself the last; the root is none."""
  return [*way(node.parent), node] if node.parent is not None else []
