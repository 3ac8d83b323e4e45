"""Two hundred programs as LeetCode asks for them, each with a broken twin: (source, what is called, [(arguments, what
comes back)], (text, the text that breaks it)). A source has no imports, as LeetCode gives the names; arguments are a
list, or an object for a call by keyword; lists and trees of nodes are JSON lists, as LeetCode writes them; the text to
be replaced stands once in its source, and the twin ends, too, but fails at least one of the tests.
"""

# (methods of class Solution, the first of which is called, tests, what breaks it).
_METHODS = [
    # Arrays and hash maps.
    ('''  def pairWithSum(self, nums: List[int], target: int) -> List[int]:
    seen: Dict[int, int] = {}
    for i, x in enumerate(nums):
      if target - x in seen: return [seen[target - x], i]
      seen[x] = i
    return []''', [([[2, 7, 11, 15], 9], [0, 1]), ([[3, 3], 6], [0, 1])], ('[x] = i', '[x] = i + 1')),
    ('''  def nearbyTwin(self, nums: List[int], k: int) -> bool:
    last = defaultdict(lambda: -inf)
    for i, x in enumerate(nums):
      if i - last[x] <= k: return True
      last[x] = i
    return False''', [([[1, 2, 3, 1], 3], True), ({'nums': [1, 2, 3, 1, 2, 3], 'k': 2}, False)], ('<= k', '< k')),
    ('''  def leader(self, nums: List[int]) -> int:
    value, votes = Counter(nums).most_common(1)[0]
    return value if votes > len(nums) // 2 else -1''', [([[3, 2, 3]], 3), ([[1, 2]], -1)], ('votes >', 'votes >=')),
    ('''  def families(self, words: List[str]) -> List[List[str]]:
    by: DefaultDict[Tuple[str, ...], List[str]] = collections.defaultdict(list)
    for word in words: by[tuple(sorted(word))].append(word)
    return sorted(sorted(group) for group in by.values())''',
     [([['eat', 'tea', 'tan', 'ate', 'nat', 'bat']], [['ate', 'eat', 'tea'], ['bat'], ['nat', 'tan']]),
     ([['aab', 'ab']], [['aab'], ['ab']])], ('tuple(sorted(word))', 'tuple(sorted(set(word)))')),
    ('''  def longestRun(self, nums: List[int]) -> int:
    have, best = set(nums), 0
    for x in have:
      if x - 1 not in have:
        y = next(y for y in itertools.count(x) if y not in have)
        best = max(best, y - x)
    return best''', [([[100, 4, 200, 1, 3, 2]], 4), ([[]], 0), ([[0, 0, 1]], 2)], ('y - x)', 'y - x + 1)')),
    ('''  def productOfOthers(self, nums: List[int]) -> List[int]:
    left = list(accumulate(nums, operator.mul, initial=1))
    right = list(accumulate(nums[::-1], operator.mul, initial=1))[::-1]
    return [left[i] * right[i + 1] for i in range(len(nums))]''', [([[1, 2, 3, 4]], [24, 12, 8, 6]),
     ([[0, 5]], [5, 0])], ('right[i + 1]', 'right[i]')),
    ('''  def mostFrequent(self, nums: List[int], k: int) -> List[int]:
    count = Counter(nums)
    return heapq.nlargest(k, count, key=lambda v: (count[v], -v))''', [([[1, 1, 1, 2, 2, 3], 2], [1, 2]),
     ([[4, 4, 5, 5, 6], 1], [4])], ('-v)', 'v)')),
    ('''  def firstUnique(self, s: str) -> int:
    count = collections.Counter(s)
    return next((i for i, c in enumerate(s) if count[c] == 1), -1)''', [(['loveleetcode'], 2), (['aabb'], -1)],
     (', -1)', ', len(s))')),
    ('''  def countSubarrays(self, nums: List[int], k: int) -> int:
    seen, total, found = Counter({0: 1}), 0, 0
    for x in nums:
      total += x
      found += seen[total - k]
      seen[total] += 1
    return found''', [([[1, 1, 1], 2], 2), ([[1, 2, 3], 3], 2)], ('{0: 1}', '{}')),
    ('''  def lonely(self, nums: List[int]) -> int: return reduce(xor, nums)''', [([[4, 1, 2, 1, 2]], 4), ([[7]], 7)],
     ('xor', 'or_')),
    ('''  def missing(self, nums: List[int]) -> int:
    return functools.reduce(operator.xor, itertools.chain(nums, range(len(nums) + 1)), 0)''', [([[3, 0, 1]], 2),
     ([[0, 1]], 2)], ('len(nums) + 1', 'len(nums)')),
    ('''  def turned(self, nums: List[int], k: int) -> List[int]:
    row: Deque[int] = deque(nums)
    row.rotate(k)
    return list(row)''', [([[1, 2, 3, 4, 5], 2], [4, 5, 1, 2, 3]), ([[1], 3], [1])], ('(k)', '(-k)')),
    ('''  def merge(self, intervals: List[List[int]]) -> List[List[int]]:
    out: List[List[int]] = []
    for a, b in sorted(intervals):
      if out and a <= out[-1][1]: out[-1][1] = max(out[-1][1], b)
      else: out.append([a, b])
    return out''', [([[[1, 3], [2, 6], [8, 10]]], [[1, 6], [8, 10]]), ([[[4, 5], [1, 4]]], [[1, 5]])],
     ('a <= out', 'a < out')),
    ('''  def addInterval(self, rows: List[List[int]], new: List[int]) -> List[List[int]]:
    i = bisect_left([b for _, b in rows], new[0])
    j = bisect_right([a for a, _ in rows], new[1])
    if i < j: new = [min(new[0], rows[i][0]), max(new[1], rows[j - 1][1])]
    return rows[:i] + [new] + rows[j:]''', [([[[1, 3], [6, 9]], [2, 5]], [[1, 5], [6, 9]]),
     ([[[1, 2], [3, 5]], [5, 7]], [[1, 2], [3, 7]])], ('a for a, _', 'a - 1 for a, _')),
    ('''  def roomsNeeded(self, meetings: List[List[int]]) -> int:
    ends: List[int] = []
    for start, end in sorted(meetings):
      if ends and ends[0] <= start: heapq.heapreplace(ends, end)
      else: heapq.heappush(ends, end)
    return len(ends)''', [([[[0, 30], [5, 10], [15, 20]]], 2), ([[[1, 4], [4, 6]]], 1)], ('<= start', '< start')),
    ('''  def bestSum(self, nums: List[int]) -> int: return max(accumulate(nums, lambda a, x: max(a + x, x)))''',
     [([[-2, 1, -3, 4, -1, 2, 1, -5, 4]], 6), ([[-3, -1]], -1)], ('max(a + x, x)', 'max(a + x, 0)')),
    ('''  def zerosLast(self, nums: List[int]) -> List[int]: return sorted(nums, key=operator.not_)''',
     [([[0, 1, 0, 3, 12]], [1, 3, 12, 0, 0]), ([[0]], [0])], ('operator.not_', 'operator.truth')),
    ('''  def water(self, height: List[int]) -> int:
    left = accumulate(height, max)
    right = reversed(list(accumulate(height[::-1], max)))
    return sum(min(a, b) - h for a, b, h in zip(left, right, height))''', [([[0, 1, 0, 2, 1, 0, 1, 3, 2, 1, 2, 1]], 6),
     ([[4, 2, 0, 3, 2, 5]], 9)], ('min(a, b)', 'max(a, b)')),
    ('''  def shuffle(self, nums: List[int], n: int) -> List[int]:
    return [x for pair in zip(nums[:n], nums[n:]) for x in pair]''', [([[2, 5, 1, 3, 4, 7], 3], [2, 3, 5, 4, 1, 7]),
     ([[1, 1, 2, 2], 2], [1, 2, 1, 2])], ('zip(nums[:n], nums[n:])', 'zip(nums[n:], nums[:n])')),
    ('''  def runningMedian(self, nums: List[int]) -> List[float]:
    low, high, out = [], [], []
    for x in nums:
      heappush(high, -heappushpop(low, -x))
      if len(high) > len(low): heappush(low, -heappop(high))
      out.append(float(-low[0]) if len(low) > len(high) else (high[0] - low[0]) / 2)
    return out''', [([[5, 2, 8, 1]], [5.0, 3.5, 5.0, 3.5]), ([[1, 1]], [1.0, 1.0])],
     ('(high[0] - low[0]) / 2', '(high[0] - low[0]) // 2')),
    ('''  def stockOnce(self, prices: List[int]) -> int:
    low, best = inf, 0
    for p in prices:
      low = min(low, p)
      best = max(best, p - low)
    return best''', [([[7, 1, 5, 3, 6, 4]], 5), ([[7, 6, 4]], 0)], ('inf, 0', '0, 0')),
    ('''  def stockOften(self, prices: List[int]) -> int:
    return sum(max(b - a, 0) for a, b in itertools.pairwise(prices))''', [([[7, 1, 5, 3, 6, 4]], 7), ([[5]], 0)],
     ('max(b - a, 0)', 'b - a')),
    ('''  def hIndex(self, citations: List[int]) -> int:
    return sum(c >= i for i, c in enumerate(sorted(citations, reverse=True), 1))''', [([[3, 0, 6, 1, 5]], 3),
     ([[1, 3, 1]], 1)], ('reverse=True), 1)', 'reverse=True))')),
    ('''  def fewestJumps(self, nums: List[int]) -> int:
    steps = end = far = 0
    for i in range(len(nums) - 1):
      far = max(far, i + nums[i])
      if i == end: steps, end = steps + 1, far
    return steps''', [([[2, 3, 1, 1, 4]], 2), ([[0]], 0)], ('len(nums) - 1', 'len(nums)')),
    ('''  def firstMissingPositive(self, nums: List[int]) -> int:
    have = frozenset(nums)
    return next(filterfalse(have.__contains__, count(1)))''', [([[1, 2, 0]], 3), ([[7, 8]], 1)],
     ('count(1)', 'count()')),
    ('''  def circuit(self, gas: List[int], cost: List[int]) -> int:
    net = list(map(operator.sub, gas, cost))
    if sum(net) < 0: return -1
    sums = list(itertools.accumulate(net))
    return (sums.index(min(sums)) + 1) % len(net)''', [([[1, 2, 3, 4, 5], [3, 4, 5, 1, 2]], 3),
     ([[2, 3, 4], [3, 4, 3]], -1), ([[3, 1], [1, 3]], 0)], (' + 1) % len(net)', ') % len(net)')),
    # Matrices.
    ('''  def spiral(self, matrix: List[List[int]]) -> List[int]:
    out: List[int] = []
    while matrix:
      out.extend(matrix[0])
      matrix = list(zip(*matrix[1:]))[::-1]
    return out''', [([[[1, 2, 3], [4, 5, 6], [7, 8, 9]]], [1, 2, 3, 6, 9, 8, 7, 4, 5]),
     ([[[1, 2], [3, 4], [5, 6]]], [1, 2, 4, 6, 5, 3])], ('[::-1]', '[::1]')),
    ('''  def quarterTurn(self, m: List[List[int]]) -> List[List[int]]:
    return [list(row) for row in zip(*m[::-1])]''', [([[[1, 2], [3, 4]]], [[3, 1], [4, 2]]), ([[[5]]], [[5]])],
     ('m[::-1]', 'm')),
    ('''  def zeroLines(self, m: List[List[int]]) -> List[List[int]]:
    out = copy.deepcopy(m)
    for i, j in itertools.product(range(len(m)), range(len(m[0]))):
      if 0 in m[i] or 0 in map(itemgetter(j), m): out[i][j] = 0
    return out''', [([[[1, 1, 1], [1, 0, 1], [1, 1, 1]]], [[1, 0, 1], [0, 0, 0], [1, 0, 1]]), ([[[1, 2]]], [[1, 2]])],
     (' or ', ' and ')),
    ('''  def lifeStep(self, board: List[List[int]]) -> List[List[int]]:
    old, near = deepcopy(board), list(product((-1, 0, 1), repeat=2))
    for r, row in enumerate(board):
      for c in range(len(row)):
        n = sum(old[r + a][c + b] for a, b in near if 0 <= r + a < len(board) and 0 <= c + b < len(row))
        row[c] = int(n == 3 or n == 4 and old[r][c] == 1)
    return board''', [([[[0, 1, 0], [0, 1, 0], [0, 1, 0]]], [[0, 0, 0], [1, 1, 1], [0, 0, 0]]),
     ([[[1, 1], [1, 0]]], [[1, 1], [1, 1]])], ('deepcopy(board)', 'board')),
    ('''  def isToeplitz(self, matrix: List[List[int]]) -> bool:
    return all(a[:-1] == b[1:] for a, b in pairwise(matrix))''', [([[[1, 2, 3], [5, 1, 2]]], True),
     ([[[1, 2], [2, 2]]], False), ([[[1, 2], [3, 1]]], True)], ('a[:-1] == b[1:]', 'a[1:] == b[:-1]')),
    # Two pointers and windows.
    ('''  def windowMax(self, nums: List[int], k: int) -> List[int]:
    q: Deque[int] = collections.deque()
    out = []
    for i, x in enumerate(nums):
      while q and nums[q[-1]] <= x: q.pop()
      q.append(i)
      if q[0] <= i - k: q.popleft()
      out.append(nums[q[0]])
    return out[k - 1:]''', [([[1, 3, -1, -3, 5, 3, 6, 7], 3], [3, 3, 5, 5, 6, 7]), ([[9, 8, 7], 2], [9, 8])],
     ('<= i - k', '< i - k')),
    ('''  def anagramStarts(self, s: str, p: str) -> List[int]:
    want, have, out = Counter(p), Counter(), []
    for i, c in enumerate(s):
      have[c] += 1
      if i >= len(p): have[s[i - len(p)]] -= 1
      if have == want: out.append(i - len(p) + 1)
    return out''', [(['cbaebabacd', 'abc'], [0, 6]), (['abab', 'ab'], [0, 1, 2])], ('i >= len(p)', 'i > len(p)')),
    ('''  def isPalindrome(self, s: str) -> bool:
    t = re.sub('[^a-z0-9]', '', s.lower())
    return t == t[::-1]''', [(['A man, a plan, a canal: Panama'], True), (['race a car'], False), (['0P'], False)],
     ('a-z0-9', 'a-z')),
    # Binary search.
    ('''  def search(self, nums: List[int], target: int) -> int:
    lo, hi = 0, len(nums) - 1
    while lo <= hi:
      mid = (lo + hi) // 2
      if nums[mid] == target: return mid
      if nums[mid] < target: lo = mid + 1
      else: hi = mid - 1
    return -1''', [([[-1, 0, 3, 5, 9, 12], 9], 4), ([[5], 5], 0), ([[2], 3], -1)], ('lo <= hi', 'lo < hi')),
    ('''  def firstAndLast(self, nums: List[int], target: int) -> List[int]:
    i, j = bisect.bisect_left(nums, target), bisect.bisect_right(nums, target)
    return [i, j - 1] if i < j else [-1, -1]''', [([[5, 7, 7, 8, 8, 10], 8], [3, 4]), ([[5, 7], 6], [-1, -1])],
     ('[i, j - 1]', '[i, j]')),
    ('''  def pivotSearch(self, nums: List[int], target: int) -> int:
    shift = bisect_left(range(len(nums)), True, key=lambda i: nums[i] < nums[0])
    order = nums[shift:] + nums[:shift]
    i = bisect_left(order, target)
    return (i + shift) % len(nums) if i < len(nums) and order[i] == target else -1''', [([[4, 5, 6, 7, 0, 1, 2], 0], 4),
     ([[4, 5, 6, 7, 0, 1, 2], 3], -1), ([[1], 1], 0)], ('(i + shift)', '(i - shift)')),
    ('''  def slowestEater(self, piles: List[int], h: int) -> int:
    fits = lambda k: sum(ceil(p / k) for p in piles) <= h
    return bisect.bisect_left(range(1, max(piles)), True, key=fits) + 1''', [([[3, 6, 7, 11], 8], 4),
     ([[30, 11, 23, 4, 20], 5], 30)], ('ceil(p / k)', 'floor(p / k)')),
    ('''  def intRoot(self, x: int) -> int: return isqrt(x)''', [([8], 2), ([16], 4),
     ([1000000000000000000], 1000000000)], ('isqrt(x)', 'ceil(sqrt(x))')),
    ('''  def peak(self, nums: List[int]) -> int:
    lo, hi = 0, len(nums) - 1
    while lo < hi:
      mid = (lo + hi) // 2
      lo, hi = (mid + 1, hi) if nums[mid] < nums[mid + 1] else (lo, mid)
    return lo''', [([[1, 2, 3, 1]], 2), ([[1]], 0), ([[3, 2]], 0)], ('nums[mid] < nums', 'nums[mid] > nums')),
    ('''  def longestRising(self, nums: List[int]) -> int:
    tails: List[int] = []
    for x in nums:
      i = bisect_left(tails, x)
      tails[i:i + 1] = [x]
    return len(tails)''', [([[10, 9, 2, 5, 3, 7, 101, 18]], 4), ([[7, 7, 7]], 1)], ('bisect_left', 'bisect_right')),
    # Linked lists.
    ('''  def reverseList(self, head: Optional[ListNode]) -> Optional[ListNode]:
    prev = None
    while head: head.next, prev, head = prev, head, head.next
    return prev''', [([[1, 2, 3]], [3, 2, 1]), ([[]], [])], ('return prev', 'return head')),
    ('''  def zipSorted(self, a: Optional[ListNode], b: Optional[ListNode]) -> Optional[ListNode]:
    if not a or not b: return a or b
    if a.val > b.val: a, b = b, a
    a.next = self.zipSorted(a.next, b)
    return a''', [([[1, 2, 4], [1, 3]], [1, 1, 2, 3, 4]), ([[], [0]], [0])], ('a or b', 'None')),
    ('''  def dropFromEnd(self, head: Optional[ListNode], n: int) -> Optional[ListNode]:
    lead = lag = dummy = ListNode(0, head)
    for _ in range(n): lead = lead.next
    while lead.next: lead, lag = lead.next, lag.next
    lag.next = lag.next.next
    return dummy.next''', [([[1, 2, 3, 4, 5], 2], [1, 2, 3, 5]), ({'head': [1], 'n': 1}, [])], ('dummy.next', 'head')),
    ('''  def addNumbers(self, a: Optional[ListNode], b: Optional[ListNode]) -> Optional[ListNode]:
    tail, carry = (dummy := ListNode()), 0
    while a or b or carry:
      carry, digit = divmod(carry + (a.val if a else 0) + (b.val if b else 0), 10)
      tail.next = tail = ListNode(digit)
      a, b = a and a.next, b and b.next
    return dummy.next''', [([[2, 4, 3], [5, 6, 4]], [7, 0, 8]), ([[9, 9], [1]], [0, 0, 1])],
     ('a or b or carry', 'a or b')),
    ('''  def mergeMany(self, lists: List[Optional[ListNode]]) -> Optional[ListNode]:
    heap = [(node.val, i, node) for i, node in enumerate(lists) if node]
    heapify(heap)
    tail = dummy = ListNode()
    while heap:
      _, i, tail.next = heappop(heap)
      tail = tail.next
      if tail.next: heappush(heap, (tail.next.val, i, tail.next))
    return dummy.next''', [([[[1, 4, 5], [1, 3, 4], [2, 6]]], [1, 1, 2, 3, 4, 4, 5, 6]), ([[[]]], []),
     ([[[5], [1, 2]]], [1, 2, 5])], ('(tail.next.val, i', '(tail.val, i')),
    ('''  def sortList(self, head: Optional[ListNode]) -> Optional[ListNode]:
    nodes = []
    while head: nodes.append(head); head = head.next
    nodes.sort(key=attrgetter('val'))
    for a, b in zip_longest(nodes, nodes[1:]):
      if a: a.next = b
    return nodes[0] if nodes else None''', [([[4, 2, 1, 3]], [1, 2, 3, 4]), ([[]], [])],
     ('nodes[0] if nodes else None', 'head')),
    ('''  def reverseGroups(self, head: Optional[ListNode], k: int) -> Optional[ListNode]:
    group = list(islice(self.walk(head), k))
    if len(group) < k: return head
    rest = self.reverseGroups(group[-1].next, k)
    for node in group: node.next, rest = rest, node
    return rest
  def walk(self, node: Optional[ListNode]) -> Iterator[ListNode]:
    while node: yield node; node = node.next''', [([[1, 2, 3, 4, 5], 2], [2, 1, 4, 3, 5]), ([[1, 2, 3], 3], [3, 2, 1])],
     ('< k', '<= k')),
    ('''  def partLengths(self, head: Optional[ListNode], k: int) -> List[int]:
    n = 0
    while head: n, head = n + 1, head.next
    q, r = divmod(n, k)
    return [q + (i < r) for i in range(k)]''', [([[1, 2, 3], 5], [1, 1, 1, 0, 0]), ([[1, 2, 3, 4], 3], [2, 1, 1])],
     ('i < r', 'i <= r')),
    # Trees.
    ('''  def inorder(self, root: Optional[TreeNode]) -> List[int]:
    return [*self.inorder(root.left), root.val, *self.inorder(root.right)] if root else []''',
     [([[1, None, 2, 3]], [1, 3, 2]), ([[]], [])],
     ('*self.inorder(root.left), root.val', 'root.val, *self.inorder(root.left)')),
    ('''  def mirror(self, root: Optional[TreeNode]) -> Optional[TreeNode]:
    if root: root.left, root.right = self.mirror(root.right), self.mirror(root.left)
    return root''', [([[4, 2, 7, 1, 3]], [4, 7, 2, None, None, 3, 1]), ([[]], [])],
     ('self.mirror(root.right), self.mirror(root.left)', 'root.right, root.left')),
    ('''  def isSymmetric(self, root: Optional[TreeNode]) -> bool:
    def same(a: Optional[TreeNode], b: Optional[TreeNode]) -> bool:
      if not a or not b: return a is b
      return a.val == b.val and same(a.left, b.right) and same(a.right, b.left)
    return same(root.left, root.right)''', [([[1, 2, 2, 3, 4, 4, 3]], True), ([[1, 2, 2, None, 3, None, 3]], False)],
     ('a is b', 'True')),
    ('''  def levels(self, root: Optional[TreeNode]) -> List[List[int]]:
    level, out = [root] if root else [], []
    while level:
      out.append([n.val for n in level])
      level = [c for n in level for c in (n.left, n.right) if c]
    return out''', [([[3, 9, 20, None, None, 15, 7]], [[3], [9, 20], [15, 7]]), ([[]], [])],
     ('[root] if root else []', '[root]')),
    ('''  def isSearchTree(self, root: Optional[TreeNode], lo: float = -inf, hi: float = inf) -> bool:
    if not root: return True
    return (lo < root.val < hi and self.isSearchTree(root.left, lo, root.val)
            and self.isSearchTree(root.right, root.val, hi))''', [([[2, 1, 3]], True),
     ([[5, 4, 6, None, None, 3, 7]], False)], ('root.right, root.val', 'root.right, lo')),
    ('''  def hasPath(self, root: Optional[TreeNode], target: int) -> bool:
    if not root: return False
    if not root.left and not root.right: return root.val == target
    return any(self.hasPath(c, target - root.val) for c in (root.left, root.right))''',
     [([[5, 4, 8, 11, None, 13, 4, 7, 2], 22], True), ([[1, 2], 1], False)], ('root.left and not', 'root.left or not')),
    ('''  def diameter(self, root: Optional[TreeNode]) -> int:
    best = 0
    def deep(node: Optional[TreeNode]) -> int:
      nonlocal best
      if not node: return 0
      a, b = deep(node.left), deep(node.right)
      best = max(best, a + b)
      return max(a, b) + 1
    deep(root)
    return best''', [([[1, 2, 3, 4, 5]], 3), ([[1, 2]], 1)], ('best, a + b', 'best, a + b + 1')),
    ('''  def kthSmallest(self, root: Optional[TreeNode], k: int) -> int:
    def walk(n: Optional[TreeNode]) -> Iterator[int]:
      if n: yield from chain(walk(n.left), (n.val,), walk(n.right))
    return next(itertools.islice(walk(root), k - 1, None))''', [([[3, 1, 4, None, 2], 1], 1),
     ([[3, 1, 4, None, 2], 3], 3)], ('k - 1', 'k')),
    ('''  def ancestor(self, root: Optional[TreeNode], p: int, q: int) -> int:
    def find(n):
      if not n or n.val in (p, q): return n
      a, b = find(n.left), find(n.right)
      return n if a and b else a or b
    return find(root).val''', [([[3, 5, 1, 6, 2, 0, 8], 5, 1], 3), ([[3, 5, 1, 6, 2], 5, 2], 5)],
     ('if a and b', 'if a or b')),
    ('''  def flattened(self, root: Optional[TreeNode]) -> Optional[TreeNode]:
    stack, tail = [root] if root else [], TreeNode()
    while stack:
      n = stack.pop()
      stack += filter(None, (n.right, n.left))
      tail.right = tail = n
      n.left = n.right = None
    return root''', [([[1, 2, 5, 3, 4]], [1, None, 2, None, 3, None, 4, None, 5]), ([[]], [])],
     ('(n.right, n.left)', '(n.left, n.right)')),
    ('''  def rebuild(self, preorder: List[int], inorder: List[int]) -> Optional[TreeNode]:
    where, order = {x: i for i, x in enumerate(inorder)}, iter(preorder)
    def build(lo: int, hi: int) -> Optional[TreeNode]:
      if lo == hi: return None
      root = TreeNode(next(order))
      root.left = build(lo, where[root.val])
      root.right = build(where[root.val] + 1, hi)
      return root
    return build(0, len(inorder))''', [([[3, 9, 20, 15, 7], [9, 3, 15, 20, 7]], [3, 9, 20, None, None, 15, 7]),
     ([[1, 2], [1, 2]], [1, None, 2])], ('.val] + 1, hi', '.val] + 1, hi - 1')),
    ('''  def bestPath(self, root: Optional[TreeNode]) -> int:
    def gain(n: Optional[TreeNode]) -> Tuple[float, float]:
      if not n: return 0, -math.inf
      (a, p), (b, q) = gain(n.left), gain(n.right)
      return max(0, n.val + max(a, b)), max(p, q, a + n.val + b)
    return gain(root)[1]''', [([[-10, 9, 20, None, None, 15, 7]], 42), ([[-3]], -3)],
     ('return 0, -math.inf', 'return 0, 0')),
    ('''  def insertInto(self, root: Optional[TreeNode], val: int) -> Optional[TreeNode]:
    if not root: return TreeNode(val)
    side = 'left' if val < root.val else 'right'
    setattr(root, side, self.insertInto(getattr(root, side), val))
    return root''', [([[4, 2, 7, 1, 3], 5], [4, 2, 7, 1, 3, 5]), ([[], 1], [1])], ('TreeNode(val)', 'root')),
    ('''  def remove(self, root: Optional[TreeNode], key: int) -> Optional[TreeNode]:
    if not root: return None
    if key < root.val: root.left = self.remove(root.left, key)
    elif key > root.val: root.right = self.remove(root.right, key)
    elif not root.left or not root.right: return root.left or root.right
    else:
      n = root.right
      while n.left: n = n.left
      root.val, root.right = n.val, self.remove(root.right, n.val)
    return root''', [([[5, 3, 6, 2, 4, None, 7], 3], [5, 4, 6, 2, None, None, 7]), ([[1], 1], [])],
     ('n.val, self.remove(root.right, n.val)', 'n.val, root.right')),
    ('''  def trim(self, root: Optional[TreeNode], low: int, high: int) -> Optional[TreeNode]:
    if not root: return None
    if root.val < low: return self.trim(root.right, low, high)
    if root.val > high: return self.trim(root.left, low, high)
    root.left, root.right = self.trim(root.left, low, high), self.trim(root.right, low, high)
    return root''', [([[1, 0, 2], 1, 2], [1, None, 2]), ([[3, 0, 4, None, 2], 1, 3], [3, 2])],
     ('return self.trim(root.right, low, high)', 'return None')),
    ('''  def isBalanced(self, root: Optional[TreeNode]) -> bool:
    def high(n: Optional[TreeNode]) -> float:
      if not n: return 0
      a, b = high(n.left), high(n.right)
      return inf if abs(a - b) > 1 or inf in (a, b) else 1 + max(a, b)
    return high(root) < inf''', [([[3, 9, 20, None, None, 15, 7]], True),
     ([[1, 2, 2, 3, None, None, 3, 4, None, None, 4]], False)], (' or inf in (a, b)', ' and inf in (a, b)')),
    ('''  def leftLeaves(self, root: Optional[TreeNode], left: bool = False) -> int:
    if not root: return 0
    if not root.left and not root.right: return root.val * left
    return self.leftLeaves(root.left, True) + self.leftLeaves(root.right)''', [([[3, 9, 20, None, None, 15, 7]], 24),
     ([[1, 2, None, None, 3]], 0)], ('(root.right)', '(root.right, left)')),
    ('''  def verticalOrder(self, root: Optional[TreeNode]) -> List[List[int]]:
    found: List[Tuple[int, int, int]] = []
    def visit(n, row, col):
      if n:
        insort(found, (col, row, n.val))
        visit(n.left, row + 1, col - 1); visit(n.right, row + 1, col + 1)
    visit(root, 0, 0)
    return [[v for _, _, v in g] for _, g in groupby(found, key=itemgetter(0))]''',
     [([[3, 9, 20, None, None, 15, 7]], [[9], [3, 15], [20], [7]]),
     ([[1, 2, 3, 4, 6, 5, 7]], [[4], [2], [1, 5, 6], [3], [7]])], ('(col, row, n.val)', '(col, n.val, row)')),
    # Stacks and strings.
    ('''  def isValid(self, s: str) -> bool:
    stack, pairs = [], {')': '(', ']': '[', '}': '{'}
    for c in s:
      if c not in pairs: stack.append(c)
      elif not stack or stack.pop() != pairs[c]: return False
    return not stack''', [(['()[]{}'], True), (['(]'], False), (['(('], False)], ('return not stack', 'return True')),
    ('''  def daysToWarmth(self, t: List[int]) -> List[int]:
    out, stack = [0] * len(t), []
    for i, x in enumerate(t):
      while stack and t[stack[-1]] < x: j = stack.pop(); out[j] = i - j
      stack.append(i)
    return out''', [([[73, 74, 71, 71, 76]], [1, 3, 2, 1, 0]), ([[5]], [0])], ('] < x', '] <= x')),
    ('''  def largestBar(self, heights: List[int]) -> int:
    stack, best = [-1], 0
    for i, h in enumerate(heights + [0]):
      while stack[-1] >= 0 and heights[stack[-1]] >= h:
        best = max(best, heights[stack.pop()] * (i - stack[-1] - 1))
      stack.append(i)
    return best''', [([[2, 1, 5, 6, 2, 3]], 10), ([[2, 4]], 4)], ('heights + [0]', 'heights')),
    (r'''  def expand(self, s: str) -> str:
    while '[' in s: s = re.sub(r'(\d+)\[([a-z]*)\]', lambda m: int(m[1]) * m[2], s)
    return s''', [(['3[a2[c]]'], 'accaccacc'), (['ab'], 'ab'), (['10[z]'], 'zzzzzzzzzz')], ('d+', 'd')),
    ('''  def shortPath(self, path: str) -> str:
    stack: List[str] = []
    for part in path.split('/'):
      if part == '..': stack = stack[:-1]
      elif part not in ('', '.'): stack.append(part)
    return '/' + '/'.join(stack)''', [(['/home//foo/'], '/home/foo'), (['/../a/./b/..'], '/a')],
     ("('', '.')", "('.',)")),
    ('''  def countAndSay(self, n: int) -> str:
    return reduce(lambda s, _: ''.join(f'{len([*g])}{d}' for d, g in groupby(s)), range(n - 1), '1')''', [([4], '1211'),
     ([1], '1'), ([5], '111221')], ('range(n - 1)', 'range(n)')),
    ('''  def toInteger(self, s: str) -> int:
    found = re.match(r' *([+-]?[0-9]+)', s)
    return max(-2 ** 31, min(2 ** 31 - 1, int(found[1]))) if found else 0''', [(['   -42'], -42), (['words 9'], 0),
     (['91283472332'], 2147483647)], ('re.match', 're.search')),
    ('''  def shiftLetters(self, s: str, k: int) -> str:
    n = string.ascii_lowercase
    return s.translate(str.maketrans(n, n[k % 26:] + n[:k % 26]))''', [(['xyz', 3], 'abc'), (['a', 27], 'b')],
     ('n[:k % 26]', 'n[k % 26::-1]')),
    ('''  def toRoman(self, num: int) -> str:
    out = ''
    for v, r in zip((1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1), 'M CM D CD C XC L XL X IX V IV I'.split()):
      out, num = out + r * (num // v), num % v
    return out''', [([1994], 'MCMXCIV'), ([58], 'LVIII')], ('CM D CD', 'DM D CD')),
    ('''  def largestNumber(self, nums: List[int]) -> str:
    order = cmp_to_key(lambda a, b: (a + b < b + a) - (a + b > b + a))
    return str(int(''.join(sorted(map(str, nums), key=order))))''', [([[3, 30, 34, 5, 9]], '9534330'), ([[0, 0]], '0')],
     ("str(int(''.join(sorted(map(str, nums), key=order))))", "''.join(sorted(map(str, nums), key=order))")),
    ('''  def sharedPrefix(self, words: List[str]) -> str:
    return ''.join(c[0] for c in itertools.takewhile(lambda c: len(set(c)) == 1, zip(*words)))''',
     [([['flower', 'flow', 'flight']], 'fl'), ([['a', 'b']], '')], ('takewhile', 'filterfalse')),
    ('''  def compress(self, s: str) -> str:
    return ''.join(c + str(n) * (n > 1) for c, n in ((c, len(list(g))) for c, g in itertools.groupby(s)))''',
     [(['aabccc'], 'a2bc3'), (['a'], 'a')], ('n > 1', 'n > 0')),
    ('''  def isIsomorphic(self, s: str, t: str) -> bool:
    return len(set(zip(s, t))) == len(set(s)) == len(set(t))''', [(['egg', 'add'], True), (['foo', 'bar'], False),
     (['badc', 'baba'], False)], (' == len(set(t))', '')),
    ('''  def longestMirror(self, s: str) -> str:
    return max((s[i:j] for i, j in combinations(range(len(s) + 1), 2) if s[i:j] == s[i:j][::-1]), key=len)''',
     [(['babad'], 'bab'), (['cbbd'], 'bb'), (['a'], 'a')], ('len(s) + 1', 'len(s)')),
    # Graphs.
    ('''  def islands(self, grid: List[str]) -> int:
    land = {complex(r, c) for r, row in enumerate(grid) for c, x in enumerate(row) if x == '1'}
    def sink(z: complex) -> bool:
      if z not in land: return False
      land.remove(z)
      for k in range(4): sink(z + 1j ** k)
      return True
    return sum(map(sink, list(land)))''', [([['11000', '11000', '00100', '00011']], 3), ([['0']], 0)],
     ('range(4)', 'range(1, 3)')),
    ('''  def courseOrder(self, n: int, needs: List[List[int]]) -> List[int]:
    after, waits = collections.defaultdict(list), [0] * n
    for a, b in needs: after[b].append(a); waits[a] += 1
    ready = [i for i in range(n) if not waits[i]]
    for b in ready:
      for a in after[b]:
        waits[a] -= 1
        if not waits[a]: ready.append(a)
    return ready if len(ready) == n else []''', [([4, [[1, 0], [2, 0], [3, 1], [3, 2]]], [0, 1, 2, 3]),
     ([3, [[0, 1], [1, 0]]], [])], ('ready if len(ready) == n else []', 'ready')),
    ('''  def signalTime(self, times: List[List[int]], n: int, k: int) -> int:
    out, seen, heap = defaultdict(list), {}, [(0, k)]
    for a, b, w in times: out[a].append((b, w))
    while heap:
      t, a = heappop(heap)
      if a not in seen:
        seen[a] = t
        for b, w in out[a]: heappush(heap, (t + w, b))
    return max(seen.values()) if len(seen) == n else -1''', [([[[2, 1, 1], [2, 3, 1], [3, 4, 1]], 4, 2], 2),
     ({'times': [[1, 2, 1]], 'n': 2, 'k': 2}, -1), ([[[1, 2, 9], [1, 3, 1], [3, 2, 1]], 3, 1], 2)],
     ('(t + w, b)', '(w, b)')),
    ('''  def cheapest(self, n: int, flights: List[List[int]], src: int, dst: int, k: int) -> int:
    cost = [inf] * n
    cost[src] = 0
    for _ in range(k + 1):
      new = cost[:]
      for a, b, w in flights: new[b] = min(new[b], cost[a] + w)
      cost = new
    return -1 if cost[dst] == inf else cost[dst]''', [([3, [[0, 1, 100], [1, 2, 100], [0, 2, 500]], 0, 2, 1], 200),
     ([3, [[0, 1, 1], [1, 2, 1], [0, 2, 5]], 0, 2, 0], 5)], ('cost[:]', 'cost')),
    ('''  def wordSteps(self, begin: str, end: str, words: List[str]) -> int:
    left, queue = set(words), deque([(begin, 1)])
    while queue:
      word, n = queue.popleft()
      if word == end: return n
      near = {w for w in left if sum(map(operator.ne, w, word)) == 1}
      left -= near
      queue.extend((w, n + 1) for w in near)
    return 0''', [(['hit', 'cog', ['hot', 'dot', 'dog', 'lot', 'log', 'cog']], 5), (['hit', 'cog', ['hot']], 0)],
     ('(begin, 1)', '(begin, 0)')),
    ('''  def twoSides(self, graph: List[List[int]]) -> bool:
    side: Dict[int, int] = {}
    def paint(i: int, c: int) -> bool:
      if i in side: return side[i] == c
      side[i] = c
      return all(paint(j, 1 - c) for j in graph[i])
    return all(i in side or paint(i, 0) for i in range(len(graph)))''', [([[[1, 3], [0, 2], [1, 3], [0, 2]]], True),
     ([[[1, 2], [0, 2], [0, 1]]], False)], ('side[i] == c', 'True')),
    # Dynamic programming.
    ('''  def stairs(self, n: int) -> int:
    @cache
    def ways(k: int) -> int: return 1 if k < 2 else ways(k - 1) + ways(k - 2)
    return ways(n)''', [([2], 2), ([5], 8), ([80], 37889062373143906)], ('k < 2', 'k < 3')),
    ('''  def coins(self, coins: List[int], amount: int) -> int:
    @functools.lru_cache(None)
    def best(a: int) -> float: return 0 if a == 0 else min((1 + best(a - c) for c in coins if c <= a), default=math.inf)
    return -1 if best(amount) == math.inf else best(amount)''', [([[1, 2, 5], 11], 3), ([[2], 3], -1), ([[5], 5], 1)],
     ('c <= a', 'c < a')),
    ('''  def editDistance(self, a: str, b: str) -> int:
    @lru_cache(maxsize=None)
    def f(i: int, j: int) -> int:
      if not i or not j: return i + j
      return min(f(i - 1, j) + 1, f(i, j - 1) + 1, f(i - 1, j - 1) + (a[i - 1] != b[j - 1]))
    return f(len(a), len(b))''', [(['horse', 'ros'], 3), (['', 'ab'], 2)], ('i + j', 'max(i, j) - 1')),
    ('''  def common(self, a: str, b: str) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
      old = row[:]
      for j, y in enumerate(b, 1): row[j] = old[j - 1] + 1 if x == y else max(old[j], row[j - 1])
    return row[-1]''', [(['abcde', 'ace'], 3), (['a', 'aa'], 1)], ('old[j - 1] + 1', 'row[j - 1] + 1')),
    ('''  def gridPaths(self, m: int, n: int) -> int: return math.comb(m + n - 2, n - 1)''', [([3, 7], 28),
     ({'n': 2, 'm': 3}, 3)], ('n - 2', 'n - 1')),
    ('''  def lightestPath(self, grid: List[List[int]]) -> int:
    row = [0] + [inf] * (len(grid[0]) - 1)
    for line in grid: row = list(accumulate(zip(row, line), lambda a, p: min(a, p[0]) + p[1], initial=inf))[1:]
    return row[-1]''', [([[[1, 3, 1], [1, 5, 1], [4, 2, 1]]], 7), ([[[5]]], 5)], ('min(a, p[0])', 'a')),
    ('''  def wordBreak(self, s: str, words: List[str]) -> bool:
    @cache
    def ok(i: int) -> bool: return i == len(s) or any(s.startswith(w, i) and ok(i + len(w)) for w in words)
    return ok(0)''', [(['leetcode', ['leet', 'code']], True), (['catsan', ['cats', 'an', 'sand']], True),
     (['catsx', ['cats']], False)], ('i == len(s)', 'i >= len(s) - 1')),
    ('''  def bestProduct(self, nums: List[int]) -> int:
    lo = hi = best = nums[0]
    for x in nums[1:]:
      lo, *_, hi = sorted((x, lo * x, hi * x))
      best = max(best, hi)
    return best''', [([[2, 3, -2, 4]], 6), ([[-2, 3, -4]], 24)], ('lo * x, hi * x', 'hi * x, hi * x')),
    ('''  def burst(self, nums: List[int]) -> int:
    a = [1, *nums, 1]
    @cache
    def best(i: int, j: int) -> int:
      return max((best(i, k) + a[i] * a[k] * a[j] + best(k, j) for k in range(i + 1, j)), default=0)
    return best(0, len(a) - 1)''', [([[3, 1, 5, 8]], 167), ([[1, 5]], 10)], ('[1, *nums, 1]', '[0, *nums, 0]')),
    # Backtracking and counting.
    ('''  def permute(self, nums: List[int]) -> List[List[int]]: return [list(p) for p in permutations(nums)]''',
     [([[1, 2]], [[1, 2], [2, 1]]), ([[0]], [[0]])], ('permutations(nums)', 'permutations(nums, 1)')),
    ('''  def subsets(self, nums: List[int]) -> List[List[int]]:
    return sorted(map(list, chain(*(combinations(nums, k) for k in range(len(nums) + 1)))))''',
     [([[1, 2]], [[], [1], [1, 2], [2]]), ([[0]], [[], [0]])], ('len(nums) + 1', 'len(nums)')),
    ('''  def phoneWords(self, keys: str) -> List[str]:
    pad = dict(zip('23456789', 'abc def ghi jkl mno pqrs tuv wxyz'.split()))
    return [''.join(p) for p in itertools.product(*map(pad.get, keys))] if keys else []''',
     [(['23'], ['ad', 'ae', 'af', 'bd', 'be', 'bf', 'cd', 'ce', 'cf']), ([''], [])], (' if keys else []', '')),
    ('''  def queens(self, n: int) -> int:
    return sum(len({p[i] + i for i in p}) == len({p[i] - i for i in p}) == n for p in permutations(range(n)))''',
     [([4], 2), ([1], 1), ([6], 4)], ('{p[i] - i', '{p[i]')),
    ('''  def sumsTo(self, choices: List[int], target: int) -> List[List[int]]:
    if target == 0: return [[]]
    return [[c] + r for i, c in enumerate(choices) if c <= target for r in self.sumsTo(choices[i:], target - c)]''',
     [([[2, 3, 6, 7], 7], [[2, 2, 3], [7]]), ([[2], 1], [])], ('choices[i:]', 'choices')),
    ('''  def exist(self, board: List[str], word: str) -> bool:
    cells = {(r, c): x for r, row in enumerate(board) for c, x in enumerate(row)}
    def go(r: int, c: int, k: int, seen: Set[Tuple[int, int]]) -> bool:
      if k == len(word): return True
      if (r, c) in seen or cells.get((r, c)) != word[k]: return False
      return any(go(r + a, c + b, k + 1, seen | {(r, c)}) for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0)))
    return any(go(*at, 0, set()) for at in cells)''', [([['ABCE', 'SFCS', 'ADEE'], 'SEE'], True),
     ([['ABCE', 'SFCS', 'ADEE'], 'ABCB'], False)], ('(r, c) in seen or ', '')),
    ('''  def knightMoves(self, n: int) -> int:
    jump = [(4, 6), (6, 8), (7, 9), (4, 8), (0, 3, 9), (), (0, 1, 7), (2, 6), (1, 3), (2, 4)]
    return sum(reduce(lambda w, _: [sum(w[j] for j in jump[i]) for i in range(10)], range(n - 1), [1] * 10))''',
     [([1], 10), ([2], 20), ([3], 46)], ('(0, 3, 9)', '(3, 9)')),
    # Numbers, bits and geometry.
    ("""  def gcdOfStrings(self, a: str, b: str) -> str: return a[:gcd(len(a), len(b))] if a + b == b + a else ''""",
     [(['ABCABC', 'ABC'], 'ABC'), (['LEET', 'CODE'], '')], (" if a + b == b + a else ''", '')),
    ('''  def countPrimes(self, n: int) -> int:
    sieve = [0, 0] + [1] * (n - 2)
    for i in range(2, isqrt(max(n, 0)) + 1):
      if sieve[i]: sieve[i * i::i] = repeat(0, len(sieve[i * i::i]))
    return sum(sieve)''', [([10], 4), ([0], 0), ([26], 9)], ('[0, 0] +', '[0, 1] +')),
    ('''  def twoLonely(self, nums: List[int]) -> List[int]:
    both = reduce(operator.xor, nums)
    one = reduce(operator.xor, (x for x in nums if x & both & -both))
    return sorted((one, one ^ both))''', [([[1, 2, 1, 3, 2, 5]], [3, 5]), ([[4, 6]], [4, 6])], ('& -both', '')),
    ('''  def powerMod(self, x: int, n: int, m: int) -> int:
    if n == 0: return 1 % m
    return self.powerMod(x * x % m, n // 2, m) * (x if n % 2 else 1) % m''', [([2, 10, 1000], 24), ([3, 5, 7], 5),
     ([5, 0, 1], 0)], ('if n % 2 else 1', 'if n % 2 else 2')),
    ('''  def dayOfYear(self, s: str) -> int: return datetime.datetime.strptime(s, '%Y-%m-%d').timetuple().tm_yday''',
     [(['2019-02-10'], 41), (['2004-03-01'], 61)], ('%Y-%m-%d', '%Y-%d-%m')),
    ('''  def kthLargest(self, nums: List[int], k: int) -> int:
    random.seed(7)
    pivot = random.choice(nums)
    more, less = [x for x in nums if x > pivot], [x for x in nums if x < pivot]
    if k <= len(more): return self.kthLargest(more, k)
    if k > len(nums) - len(less): return self.kthLargest(less, k - len(nums) + len(less))
    return pivot''', [([[3, 2, 5, 6, 4], 1], 6), ([[3, 2, 3, 1, 2, 4, 5, 5, 6], 4], 4)],
     ('k <= len(more)', 'k < len(more)')),
    ('''  def onOneLine(self, points: List[List[int]]) -> int:
    best = 0
    for i, (x, y) in enumerate(points):
      slopes = Counter(Fraction(b - y, a - x) if a != x else None for a, b in points[i + 1:])
      best = max([best, *slopes.values()])
    return best + 1''', [([[[1, 1], [2, 2], [3, 3]]], 3), ([[[1, 1], [1, 4], [2, 1]]], 2)], ('else None', 'else 0')),
    ("""  def bullsAndCows(self, secret: str, guess: str) -> str:
    bulls = sum(map(operator.eq, secret, guess))
    return f'{bulls}A{(Counter(secret) & Counter(guess)).total() - bulls}B'""", [(['1807', '7810'], '1A3B'),
     (['1123', '0111'], '1A1B')], (' - bulls', '')),
    ('''  def leastTime(self, tasks: List[str], n: int) -> int:
    counts = Counter(tasks).values()
    top = max(counts)
    return max(len(tasks), (top - 1) * (n + 1) + countOf(counts, top))''', [([['A', 'A', 'A', 'B', 'B', 'B'], 2], 8),
     ([['A', 'B'], 5], 2)], ('(n + 1)', 'n')),
    # Odds and ends.
    ('''  def longestOnes(self, nums: Sequence[int]) -> int: return max(len(list(g)) * x for x, g in groupby(nums))''',
     [([[1, 1, 0, 1, 1, 1, 0, 0, 0, 0]], 3), ([[0]], 0)], (' * x', '')),
    ('''  def isPerfect(self, n: int) -> bool: return n > 1 and sum(d for d in range(1, n) if n % d == 0) == n''',
     [([28], True), ([7], False)], ('range(1, n)', 'range(2, n)')),
    ('''  def once(self, nums: List[int]) -> int: return (3 * sum(set(nums)) - sum(nums)) // 2''', [([[2, 2, 3, 2]], 3),
     ([[0, 1, 0, 1, 0, 1, 99]], 99)], ('3 * sum', '2 * sum')),
    ('''  def polygon(self, points: List[List[int]]) -> float:
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(points, points[1:] + points[:1]))) / 2''',
     [([[[1, 1], [3, 1], [3, 3], [1, 3]]], 4.0), ([[[0, 1], [4, 0], [0, 4]]], 6.0)], (' + points[:1]', '')),
    ('''  def weave(self, a: str, b: str) -> str:
    return ''.join(chain.from_iterable(zip_longest(a, b, fillvalue='')))''', [(['abc', 'pq'], 'apbqc'),
     (['', 'xy'], 'xy')], ("zip_longest(a, b, fillvalue='')", 'zip(a, b)')),
    ('''  def equalPairs(self, nums: Iterable[int]) -> int: return sum(comb(c, 2) for c in Counter(nums).values())''',
     [([[1, 2, 3, 1, 1, 3]], 4), ([[1]], 0)], ('comb', 'perm')),
    ('''  def lowest(self, rows: List[List[int]]) -> int:
    return min((x for row in rows for x in row), default=sys.maxsize)''', [([[[3], [1, 2]]], 1),
     ([[[]]], 9223372036854775807)], ('sys.maxsize', '0')),
    ('''  def dice(self, n: int, total: int) -> int:
    return sum(sum(p) == total for p in combinations_with_replacement(range(1, 7), n))''', [([2, 7], 3), ([1, 9], 0)],
     ('range(1, 7)', 'range(1, 6)')),
]
# With classes of their own, most driven by a list of operations.
_CLASSES = [
    ('''class NumMatrix:
  def __init__(self, m: List[List[int]]):
    self.s = [[0] * (len(m[0]) + 1)]
    for row in m: self.s.append([a + b for a, b in zip(self.s[-1], accumulate(row, initial=0))])
  def area(self, r: int, c: int, rr: int, cc: int) -> int:
    return self.s[rr + 1][cc + 1] - self.s[r][cc + 1] - self.s[rr + 1][c] + self.s[r][c]
class Solution:
  def areas(self, m: List[List[int]], queries: List[List[int]]) -> List[int]:
    return list(starmap(NumMatrix(m).area, queries))''', 'Solution().areas',
     [([[[1, 2], [3, 4]], [[0, 0, 1, 1], [1, 1, 1, 1]]], [10, 4]), ([[[5]], [[0, 0, 0, 0]]], [5])],
     ('+ self.s[r][c]', '- self.s[r][c]')),
    ('''class TimeMap:
  def __init__(self): self.log = defaultdict(list)
  def set(self, key: str, value: str, t: int) -> None: self.log[key].append((t, value))
  def get(self, key: str, t: int) -> str:
    i = bisect_right(self.log[key], t, key=itemgetter(0))
    return self.log[key][i - 1][1] if i else ''
def replay(ops: List[List[Any]]) -> List[Optional[str]]:
  m = TimeMap()
  return [getattr(m, name)(*args) for name, *args in ops]''', 'replay',
     [([[['set', 'a', 'x', 1], ['get', 'a', 1], ['get', 'a', 9], ['get', 'a', 0]]], [None, 'x', 'x', '']),
     ([[['get', 'b', 3]]], [''])], ('bisect_right', 'bisect_left')),
    ('''# class ListNode:
#   def __init__(self, val=0, next=None): ...
class Solution:
  def middle(self, head: Optional[ListNode]) -> Optional[ListNode]:
    slow = fast = head
    while fast and fast.next: slow, fast = slow.next, fast.next.next
    return slow''', 'Solution().middle', [([[1, 2, 3]], [2, 3]), ([[1, 2, 3, 4]], [3, 4])],
     ('fast and fast', 'fast.next and fast')),
    ('''class Codec:
  def serialize(self, root: Optional[TreeNode]) -> str:
    return f'{root.val},{self.serialize(root.left)},{self.serialize(root.right)}' if root else '#'
  def deserialize(self, data: str) -> Optional[TreeNode]:
    parts = iter(data.split(','))
    def read():
      head = next(parts)
      return None if head == '#' else TreeNode(int(head), read(), read())
    return read()
class Solution:
  def roundTrip(self, root: Optional[TreeNode]) -> Optional[TreeNode]:
    return Codec().deserialize(Codec().serialize(root))''', 'Solution().roundTrip',
     [([[1, 2, 3, None, None, 4, -5]], [1, 2, 3, None, None, 4, -5]), ([[]], [])], ('int(head)', 'int(head[-1])')),
    ('''class LRUCache:
  def __init__(self, capacity: int): self.room, self.kept = capacity, OrderedDict()
  def get(self, key: int) -> int:
    if key not in self.kept: return -1
    self.kept.move_to_end(key)
    return self.kept[key]
  def put(self, key: int, value: int) -> None:
    self.kept[key] = value
    self.kept.move_to_end(key)
    if len(self.kept) > self.room: self.kept.popitem(last=False)
class Solution:
  def play(self, room: int, ops: List[List[int]]) -> List[int]:
    lru = LRUCache(room)
    return [lru.get(*op) if len(op) == 1 else lru.put(*op) or 0 for op in ops]''', 'Solution().play',
     [([2, [[1, 1], [2, 2], [1], [3, 3], [2], [3]]], [0, 0, 1, 0, -1, 3]), ([1, [[5], [5, 6], [5]]], [-1, 0, 6])],
     ('last=False', 'last=True')),
    ('''class Trie:
  def __init__(self): self.next, self.end = defaultdict(Trie), False
  def insert(self, word: str) -> None: reduce(lambda node, c: node.next[c], word, self).end = True
  def find(self, word: str) -> bool:
    if not word: return self.end
    if word[0] == '.': return any(t.find(word[1:]) for t in self.next.values())
    return word[0] in self.next and self.next[word[0]].find(word[1:])
class Solution:
  def lookUp(self, words: List[str], queries: List[str]) -> List[bool]:
    trie = Trie()
    for w in words: trie.insert(w)
    return list(map(trie.find, queries))''', 'Solution().lookUp',
     [([['bad', 'dad'], ['pad', 'bad', '.ad', 'b..', 'ba']], [False, True, True, True, False]), ([[], ['a']], [False])],
     ('return self.end', 'return True')),
    ('''class MinStack(Generic[TypeVar('T')]):
  def __init__(self): self.rows: List[Tuple[int, int]] = []
  def push(self, x: int) -> None: self.rows.append((x, min(x, self.rows[-1][1]) if self.rows else x))
  def pop(self) -> int: return self.rows.pop()[0]
  def low(self) -> int: return self.rows[-1][1]
def run(ops: List[str]) -> List[int]:
  stack = MinStack()
  out = [stack.push(int(op)) if op.lstrip('-').isdigit() else methodcaller(op)(stack) for op in ops]
  return [x for x in out if x is not None]''', 'run', [([['-2', '0', '-3', 'low', 'pop', 'low']], [-3, -3, -2]),
     ([['1', 'pop']], [1])], ('min(x, self', 'max(x, self')),
    ('''class UnionFind:
  def __init__(self, n: int): self.up, self.parts = list(range(n)), n
  def find(self, x: int) -> int:
    while x != self.up[x]: self.up[x] = x = self.up[self.up[x]]
    return x
  def join(self, a: int, b: int) -> None:
    a, b = self.find(a), self.find(b)
    self.up[a], self.parts = b, self.parts - (a != b)
class Solution:
  def provinces(self, near: List[List[int]]) -> int:
    uf = UnionFind(len(near))
    for i, j in combinations(range(len(near)), 2):
      if near[i][j]: uf.join(i, j)
    return uf.parts''', 'Solution().provinces', [([[[1, 1, 0], [1, 1, 0], [0, 0, 1]]], 2),
     ([[[1, 1, 1], [1, 1, 1], [1, 1, 1]]], 1)], ('- (a != b)', '- 1')),
    ('''class Fenwick:
  def __init__(self, n: int): self.t = [0] * (n + 1)
  def add(self, i: int, x: int) -> None:
    while i < len(self.t): self.t[i] += x; i += i & -i
  def upto(self, i: int) -> int: return self.t[i] + self.upto(i & (i - 1)) if i else 0
def inversions(nums: List[int]) -> int:
  rank, tree, total = {x: i for i, x in enumerate(sorted(set(nums)), 1)}, Fenwick(len(nums)), 0
  for x in reversed(nums):
    total += tree.upto(rank[x] - 1)
    tree.add(rank[x], 1)
  return total''', 'inversions', [([[7, 5, 6, 4]], 5), ([[1, 1]], 0)], ('rank[x] - 1', 'rank[x]')),
    ('''class SegmentTree:
  def __init__(self, nums: List[int], op: Callable[[int, int], int] = max):
    self.n, self.op, self.t = len(nums), op, [0] * len(nums) + nums
    for i in range(self.n - 1, 0, -1): self.t[i] = op(self.t[2 * i], self.t[2 * i + 1])
  def set(self, i: int, x: int) -> None:
    self.t[(i := i + self.n)] = x
    while i > 1: i //= 2; self.t[i] = self.op(self.t[2 * i], self.t[2 * i + 1])
  def ask(self, i: int, j: int) -> int:
    found, i, j = [], i + self.n, j + self.n + 1
    while i < j:
      found += [self.t[i]] * (i & 1) + [self.t[j - 1]] * (j & 1)
      i, j = (i + 1) // 2, j // 2
    return functools.reduce(self.op, found)
def rangeMax(nums: List[int], ops: List[List[int]]) -> List[int]:
  tree = SegmentTree(nums)
  return [tree.set(a, b) or 0 if kind else tree.ask(a, b) for kind, a, b in ops]''', 'rangeMax',
     [([[3, 1, 4, 1, 5], [[0, 0, 2], [1, 2, 0], [0, 0, 2], [0, 1, 3], [0, 0, 4]]], [4, 0, 3, 1, 5]),
     ([[2], [[0, 0, 0]]], [2])], ('j + self.n + 1', 'j + self.n')),
    ('''class MyQueue:
  def __init__(self): self.a, self.b = [], []
  def push(self, x): self.a.append(x)
  def pop(self):
    if not self.b: self.b, self.a = self.a[::-1], []
    return self.b.pop()
def queued(ops: List[Optional[int]]) -> List[int]:
  q = MyQueue()
  return [q.pop() if op is None else q.push(op) or 0 for op in ops]''', 'queued',
     [([[1, 2, None, 3, None, None]], [0, 0, 1, 0, 2, 3]), ([[4, None]], [0, 4])], ('[::-1]', '[:]')),
    ('''@total_ordering
class Version:
  def __init__(self, text: str): self.parts = [int(p) for p in text.split('.')]
  def pairs(self, other): return zip_longest(self.parts, other.parts, fillvalue=0)
  def __eq__(self, other) -> bool: return all(a == b for a, b in self.pairs(other))
  def __lt__(self, other) -> bool: return next((a < b for a, b in self.pairs(other) if a != b), False)
class Solution:
  def compareVersion(self, a: str, b: str) -> int: return (Version(a) > Version(b)) - (Version(a) < Version(b))''',
     'Solution().compareVersion', [(['1.2', '1.10'], -1), (['1.01', '1.001'], 0), (['2', '1.9'], 1)],
     ('int(p) for p', 'p for p')),
    ('''class Hits:
  def __init__(self, span: int): self.span, self.times = span, deque()
  def ping(self, t: int) -> int:
    self.times.append(t)
    while self.times[0] < t - self.span: self.times.popleft()
    return len(self.times)
class Solution:
  def pings(self, times: List[int]) -> List[int]: return list(map(Hits(3000).ping, times))''', 'Solution().pings',
     [([[1, 100, 3001, 3002]], [1, 2, 3, 3]), ([[5]], [1])], ('< t - self', '<= t - self')),
    ('''class Bitset:
  def __init__(self): self.bits = 0
  def __contains__(self, i): return self.bits >> i & 1
  def flip(self, i: int) -> 'Bitset': self.bits ^= 1 << i; return self
def lit(n: int) -> List[int]:
  lamps = reduce(Bitset.flip, (j for i in range(1, n + 1) for j in range(i, n + 1, i)), Bitset())
  return [i for i in range(1, n + 1) if i in lamps]''', 'lit', [([10], [1, 4, 9]), ([1], [1])],
     ('range(i, n + 1, i)', 'range(i, n, i)')),
    ('''class MyHashMap:
  def __init__(self): self.rows: List[List[List[int]]] = [[] for _ in range(7)]
  def put(self, k: int, v: int) -> None:
    for cell in self.rows[k % 7]:
      if cell[0] == k: cell[1] = v; return
    self.rows[k % 7].append([k, v])
  def get(self, k: int) -> int: return next((v for q, v in self.rows[k % 7] if q == k), -1)
def lastValues(pairs: List[List[int]], keys: List[int]) -> List[int]:
  table = MyHashMap()
  for k, v in pairs: table.put(k, v)
  return [table.get(k) for k in keys]''', 'lastValues', [([[[1, 5], [8, 6], [1, 7]], [1, 8, 15]], [7, 6, -1]),
     ([[], [0]], [-1])], ('if q == k', 'if q')),
    ('''class Point(NamedTuple):
  x: int
  y: int
def walk(path: str) -> List[int]:
  at, way = Point(0, 0), Point(0, 1)
  for c in path:
    if c == 'G': at = Point(at.x + way.x, at.y + way.y)
    else: way = Point(-way.y, way.x) if c == 'L' else Point(way.y, -way.x)
  return [at.x, at.y]''', 'walk', [(['GGLLGG'], [0, 0]), (['GRG'], [1, 1])], ('(way.y, -way.x)', '(-way.y, -way.x)')),
]
_FUNCTIONS = [
    ('''def dutchFlag(nums: List[int]) -> List[int]:
  count = Counter(nums)
  return list(chain.from_iterable(repeat(c, count[c]) for c in range(3)))''', 'dutchFlag',
     [([[2, 0, 2, 1, 1, 0]], [0, 0, 1, 1, 2, 2]), ([[1]], [1])], ('range(3)', 'range(2)')),
    ('''def gaps(nums: List[int]) -> int: return max((b - a for a, b in pairwise(sorted(nums))), default=0)''', 'gaps',
     [([[3, 6, 9, 1, 20]], 11), ([[10]], 0)], ('sorted(nums)', 'nums')),
    ('''def jumpReach(nums: List[int]) -> bool:
  far = 0
  for i, x in enumerate(nums):
    if i > far: return False
    far = max(far, i + x)
  return True''', 'jumpReach', [([[2, 3, 1, 1, 4]], True), ([[3, 2, 1, 0, 4]], False)], ('i > far', 'i > far + 1')),
    ('''def columns(words: List[str]) -> List[str]:
  return [''.join(c).rstrip() for c in zip_longest(*words, fillvalue=' ')]''', 'columns',
     [([['HOW', 'ARE', 'YOU']], ['HAY', 'ORO', 'WEU']), ([['TO', 'BEE', 'A']], ['TBA', 'OE', ' E'])],
     ('.rstrip()', '.strip()')),
    ('''def pascal(n: int) -> List[List[int]]: return [[comb(i, j) for j in range(i + 1)] for i in range(n)]''',
     'pascal', [([3], [[1], [1, 1], [1, 2, 1]]), ([1], [[1]])], ('range(i + 1)', 'range(i)')),
    ('''def smallerAfter(nums: List[int]) -> List[int]:
  seen, out = [], []
  for x in reversed(nums):
    out.append(bisect.bisect_left(seen, x))
    bisect.insort(seen, x)
  return out[::-1]''', 'smallerAfter', [([[5, 2, 6, 1]], [2, 1, 1, 0]), ([[-1, -1]], [0, 0])],
     ('bisect_left', 'bisect_right')),
    ('''def medianOfTwo(a: List[int], b: List[int]) -> float:
  return float(statistics.median(heapq.merge(a, b)))''', 'medianOfTwo', [([[1, 3], [2]], 2.0), ([[1, 2], [3, 4]], 2.5)],
     ('statistics.median', 'statistics.median_low')),
    ('''def swapPairs(head: Optional[ListNode]) -> Optional[ListNode]:
  if not head or not head.next: return head
  second = head.next
  head.next, second.next = swapPairs(second.next), head
  return second''', 'swapPairs', [([[1, 2, 3]], [2, 1, 3]), ([[]], [])],
     ('not head or not head.next: return head', 'not head or not head.next: return None')),
    ('''def isMirror(head: Optional[ListNode]) -> bool:
  values: List[int] = []
  while head: values, head = values + [head.val], head.next
  return all(map(eq, values, reversed(values)))''', 'isMirror', [([[1, 2, 2, 1]], True), ([[1, 2, 1, 1]], False)],
     ('all', 'any')),
    ('''def dedupe(head: Optional[ListNode]) -> Optional[ListNode]:
  node = head
  while node and node.next:
    if node.val == node.next.val: node.next = node.next.next
    else: node = node.next
  return head''', 'dedupe', [([[1, 1, 2, 3, 3]], [1, 2, 3]), ([[1, 1, 1]], [1])], ('else: node', 'node')),
    ('''def decimalValue(head: Optional[ListNode]) -> int:
  return head.val if not head.next else decimalValue(ListNode(2 * head.val + head.next.val, head.next.next))''',
     'decimalValue', [([[1, 0, 1]], 5), ([[0]], 0)], ('head.val + head', 'head.next.val + head')),
    ('''def twinSum(head: 'Optional[ListNode]') -> int:
  row: Deque[int] = deque()
  while head: row.append(head.val); head = head.next
  best = -inf
  while row: best = max(best, row.popleft() + row.pop())
  return best''', 'twinSum', [([[5, 4, 2, 1]], 6), ([[4, 2, 2, 3]], 7)], ('row.popleft() +', 'row.pop() +')),
    ('''def depth(root: Optional[TreeNode]) -> int:
  return 1 + max(depth(root.left), depth(root.right)) if root else 0''', 'depth', [([[3, 9, 20, None, None, 15, 7]], 3),
     ([[1, None, 2]], 2)], ('max', 'min')),
    ('''def balancedTree(nums: List[int]) -> Optional[TreeNode]:
  if not nums: return None
  m = len(nums) // 2
  return TreeNode(nums[m], balancedTree(nums[:m]), balancedTree(nums[m + 1:]))''', 'balancedTree',
     [([[-10, -3, 0, 5, 9]], [0, -3, 9, -10, None, 5]), ([[1]], [1])], ('nums[:m]', 'nums[:m - 1]')),
    ('''def zigzag(root: Optional[TreeNode]) -> List[List[int]]:
  level, out = [root] if root else [], []
  while level:
    out.append([n.val for n in level][::-1 if len(out) % 2 else 1])
    level = [c for n in level for c in (n.left, n.right) if c]
  return out''', 'zigzag', [([[3, 9, 20, 1, None, 15, 7]], [[3], [20, 9], [1, 15, 7]]), ([[1]], [[1]])],
     ('-1 if len', '1 if len')),
    ('''def overlay(a: Optional[TreeNode], b: Optional[TreeNode]) -> Optional[TreeNode]:
  if not a or not b: return a or b
  return TreeNode(a.val + b.val, overlay(a.left, b.left), overlay(a.right, b.right))''', 'overlay',
     [([[1, 3, 2, 5], [2, 1, 3, None, 4]], [3, 4, 5, 5, 4]), ([[], [1]], [1])], ('return a or b', 'return None')),
    ('''def goodNodes(root: Optional[TreeNode], top: float = -inf) -> int:
  if not root: return 0
  top = max(top, root.val)
  return (root.val >= top) + goodNodes(root.left, top) + goodNodes(root.right, top)''', 'goodNodes',
     [([[3, 1, 4, 3, None, 1, 5]], 4), ([[3, None, 2, None, 2]], 1)], ('root.right, top)', 'root.right, root.val)')),
    ('''def treeOfList(head: Optional[ListNode]) -> Optional[TreeNode]:
  if not head: return None
  slow = fast = dummy = ListNode(0, head)
  while fast.next and fast.next.next: slow, fast = slow.next, fast.next.next
  node, slow.next = slow.next, None
  return TreeNode(node.val, treeOfList(dummy.next), treeOfList(node.next))''', 'treeOfList', [([[1, 2, 3]], [2, 1, 3]),
     ([[]], [])], ('treeOfList(node.next)', 'treeOfList(slow.next)')),
    ('''def paths(root: Optional[TreeNode]) -> List[str]:
  below = [p for c in (root.left, root.right) if c for p in paths(c)]
  return [f'{root.val}->{p}' for p in below] or [str(root.val)]''', 'paths',
     [([[1, 2, 3, None, 5]], ['1->2->5', '1->3']), ([[1]], ['1'])], (' or [str(root.val)]', ' + [str(root.val)]')),
    ('''def same(p: Optional[TreeNode], q: Optional[TreeNode]) -> bool:
  if None in (p, q): return p is q
  return (p.val, True, True) == (q.val, same(p.left, q.left), same(p.right, q.right))''', 'same',
     [([[1, 2, 3], [1, 2, 3]], True), ([[1, 2], [1, None, 2]], False)], ('p is q', 'not (p and q)')),
    ('''def maxTree(nums: List[int]) -> Optional[TreeNode]:
  if not nums: return None
  i = nums.index(max(nums))
  return TreeNode(nums[i], maxTree(nums[:i]), maxTree(nums[i + 1:]))''', 'maxTree',
     [([[3, 2, 1, 6, 0, 5]], [6, 3, 5, None, 2, 0, None, None, 1]), ([[1, 2]], [2, 1])], ('max(nums)', 'min(nums)')),
    ('''def postfix(tokens: List[str]) -> int:
  ops, stack = {'+': add, '-': sub, '*': mul, '/': lambda a, b: int(a / b)}, []
  for t in tokens: stack.append(ops[t](stack.pop(-2), stack.pop()) if t in ops else int(t))
  return stack[0]''', 'postfix', [([['4', '13', '5', '/', '+']], 6), ([['2', '1', '-', '-7', '*']], -7),
     ([['-7', '2', '/']], -3)], ('int(a / b)', 'a // b')),
    ('''def unpaired(s: str) -> int:
  depth = list(accumulate((1 if c == '(' else -1 for c in s), initial=0))
  return depth[-1] - 2 * min(depth)''', 'unpaired', [(['())'], 1), (['((('], 3), (['()))(('], 4)], ('2 * min', 'min')),
    ('''def isPangram(s: str) -> bool: return set(ascii_lowercase) <= set(s.lower())''', 'isPangram',
     [(['Sphinx of black quartz, judge my vow'], True), (['abc'], False)], ('.lower()', '')),
    ('''def fromRoman(s: str) -> int:
  v = [dict(zip('IVXLCDM', (1, 5, 10, 50, 100, 500, 1000)))[c] for c in s]
  return sum(-a if a < b else a for a, b in pairwise(v + [0]))''', 'fromRoman', [(['MCMXCIV'], 1994), (['III'], 3)],
     ('a < b', 'a <= b')),
    ('''def buddies(s: str, goal: str) -> bool:
  off = [p for p in zip(s, goal) if ne(*p)]
  return len(s) == len(goal) and (len(off) == 2 and off[0] == off[1][::-1] or not off and len(set(s)) < len(s))''',
     'buddies', [(['ab', 'ba'], True), (['ab', 'ab'], False), (['aa', 'aa'], True)],
     ('not off and len(set(s)) < len(s)', 'not off')),
    ('''def reorderLogs(logs: List[str]) -> List[str]:
  def key(log: str) -> Tuple[int, str, str]:
    name, _, rest = log.partition(' ')
    return (1, '', '') if rest[0] in digits else (0, rest, name)
  return sorted(logs, key=key)''', 'reorderLogs',
     [([['d1 8 1', 'l2 art can', 'd2 3 6', 'l1 own kit']], ['l2 art can', 'l1 own kit', 'd1 8 1', 'd2 3 6']),
     ([['b x', 'a x']], ['a x', 'b x'])], ('rest, name', 'name, rest')),
    ('''def subdomains(rows: List[str]) -> Dict[str, int]:
  count: Dict[str, int] = Counter()
  for n, name in map(str.split, rows):
    for i in range(name.count('.') + 1): count[name.split('.', i)[-1]] += int(n)
  return dict(count)''', 'subdomains', [([['9 a.b.c', '1 b.c']], {'a.b.c': 9, 'b.c': 10, 'c': 10}),
     ([['2 x']], {'x': 2})], ("count('.') + 1", "count('.')")),
    ('''def farthest(n: int, edges: List[List[int]]) -> List[List[int]]:
  d = [[0 if i == j else maxsize for j in range(n)] for i in range(n)]
  for a, b, w in edges: d[a][b] = d[b][a] = w
  for k, i, j in product(range(n), repeat=3): d[i][j] = min(d[i][j], d[i][k] + d[k][j])
  return [[-1 if x >= maxsize else x for x in row] for row in d]''', 'farthest',
     [([4, [[0, 2, 1], [2, 3, 1], [3, 1, 1]]], [[0, 3, 1, 2], [3, 0, 2, 1], [1, 2, 0, 1], [2, 1, 1, 0]]),
     ([2, []], [[0, -1], [-1, 0]])], ('k, i, j', 'i, j, k')),
    ('''def robber(nums: List[int]) -> int:
  return max(reduce(lambda s, x: (s[1], max(s[1], s[0] + x)), nums, (0, 0)))''', 'robber', [([[2, 7, 9, 3, 1]], 12),
     ([[2, 1, 1, 2]], 4)], ('s[0] + x', 's[1] + x')),
    ('''def halves(nums: List[int]) -> bool:
  sums = reduce(lambda s, x: s | s << x, nums, 1)
  return not sum(nums) % 2 and bool(sums >> sum(nums) // 2 & 1)''', 'halves', [([[1, 5, 11, 5]], True),
     ([[1, 2, 3, 5]], False), ([[1, 2]], False)], ('not sum(nums) % 2 and ', '')),
    ('''def decodings(s: str) -> int:
  a, b = 0, 1
  for i, c in enumerate(s): a, b = b, b * (c != '0') + a * ('10' <= s[max(i - 1, 0):i + 1] <= '26')
  return b''', 'decodings', [(['226'], 3), (['06'], 0), (['10'], 1)], ("'10' <= s", "'00' <= s")),
    ('''def squaresNeeded(n: int) -> int:
  need = [0]
  for i in range(1, n + 1): need.append(1 + min(need[i - k * k] for k in range(1, isqrt(i) + 1)))
  return need[n]''', 'squaresNeeded', [([12], 3), ([13], 2)], ('i - k * k', 'i - k')),
    ('''def brackets(n: int) -> List[str]:
  def grow(s: str, opened: int, closed: int) -> Iterator[str]:
    if closed == n: yield s
    if opened < n: yield from grow(s + '(', opened + 1, closed)
    if closed < opened: yield from grow(s + ')', opened, closed + 1)
  return list(grow('', 0, 0))''', 'brackets', [([2], ['(())', '()()']), ([1], ['()'])],
     ('closed < opened', 'closed < n')),
    ('''def nextMeeting(periods: List[int]) -> int: return lcm(*periods)''', 'nextMeeting', [([[4, 6]], 12),
     ([[2, 3, 5]], 30)], ('lcm', 'prod')),
    ('''def trailingZeros(n: int) -> int: return len(s := str(factorial(n))) - len(s.rstrip('0'))''', 'trailingZeros',
     [([5], 1), ([25], 6)], ('factorial(n)', 'factorial(n - 1)')),
    ('''def bitCounts(n: int) -> List[int]: return [bin(i).count('1') for i in range(n + 1)]''', 'bitCounts',
     [([5], [0, 1, 1, 2, 1, 2]), ([0], [0])], ('n + 1', 'n')),
    ('''def flippedBits(n: int) -> int: return int(f'{n:032b}'[::-1], 2)''', 'flippedBits', [([43261596], 964176192),
     ([1], 2147483648)], ('032b', '031b')),
    ('''def grayCode(n: int) -> List[int]: return [xor(i, i // 2) for i in range(1 << n)]''', 'grayCode',
     [([2], [0, 1, 3, 2]), ([1], [0, 1])], ('i // 2', '2 * i')),
    ('''def addFractions(parts: List[str]) -> str: return str(sum(map(Fraction, parts), Fraction()))''', 'addFractions',
     [([['1/3', '-1/2']], '-1/6'), ([['1/2', '1/2']], '1')], ('Fraction, parts', 'Fraction, parts[1:]')),
    ('''def bill(prices: List[str]) -> str: return str(sum(map(Decimal, prices)).quantize(Decimal('0.01')))''', 'bill',
     [([['0.10', '0.2', '0.30']], '0.60'), ([['1.1', '2.20']], '3.30')], ("'0.01'", "'0.1'")),
    ('''def middleGap(nums: List[int]) -> float: return sum(abs(x - median(nums)) for x in nums)''', 'middleGap',
     [([[1, 2, 10]], 9.0), ([[1, 4]], 3.0)], ('median', 'mean')),
    ('''def daysBetween(a: str, b: str) -> int: return abs((date.fromisoformat(a) - date.fromisoformat(b)).days)''',
     'daysBetween', [(['2020-01-15', '2019-12-31'], 15), (['2020-03-01', '2020-02-28'], 2)], (').days', ').days + 1')),
    ("""def weekday(day: int, month: int, year: int) -> str: return f'{datetime(year, month, day):%A}'""", 'weekday',
     [([31, 8, 2019], 'Saturday'), ({'year': 1999, 'month': 7, 'day': 18}, 'Sunday')],
     ('month, day)', 'month, min(day, 30))')),
    ('''def later(s: str, minutes: int) -> str:
  return str(datetime(*map(int, re.findall('[0-9]+', s))) + timedelta(minutes=minutes))''', 'later',
     [(['2023-12-31 23:50', 20], '2024-01-01 00:10:00'), (['2024-02-28 12:00', 1440], '2024-02-29 12:00:00')],
     ('minutes=minutes', 'seconds=minutes')),
    ('''def shuffleBack(nums: List[int]) -> List[int]:
  row = sample(nums, len(nums))
  return nsmallest(len(row), row)''', 'shuffleBack', [([[3, 1, 2]], [1, 2, 3]), ([[5]], [5])],
     ('nsmallest', 'nlargest')),
    ('''def closest(points: List[List[int]], k: int) -> List[List[int]]:
  return nsmallest(k, points, key=lambda p: hypot(*p))''', 'closest', [([[[1, 3], [-2, 2]], 1], [[-2, 2]]),
     ([[[3, 3], [5, -1], [-2, 4]], 2], [[3, 3], [-2, 4]])], ('hypot(*p)', 'sum(p)')),
    ('''def handAngle(hour: int, minutes: int) -> float:
  a = fabs(hour % 12 * 30 - minutes * 5.5)
  return min(a, 360 - a)''', 'handAngle', [([12, 30], 165.0), ([3, 15], 7.5), ([1, 57], 76.5)], ('360 - a', '180 - a')),
    ('''def overlapArea(a: List[int], b: List[int]) -> int:
  return prod(max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))''', 'overlapArea',
     [([[0, 0, 2, 2], [1, 1, 3, 3]], 1), ([[0, 0, 1, 1], [2, 2, 3, 3]], 0)], ('max(0, min', '(min')),
    ('''def digitRoot(n: int) -> int:
  while n > 9: n = sum(map(int, str(n)))
  return n''', 'digitRoot', [([38], 2), ([0], 0), ([10], 1)], ('n > 9', 'n > 10')),
    ("""def excelName(n: int) -> str:
  return excelName((n - 1) // 26) + string.ascii_uppercase[(n - 1) % 26] if n else ''""", 'excelName', [([28], 'AB'),
     ([26], 'Z'), ([701], 'ZY')], ('(n - 1) // 26', 'n // 26')),
    ('''def isHappy(n: int) -> bool:
  seen: Set[int] = set()
  while n not in seen: seen.add(n); n = sum(int(d) ** 2 for d in str(n))
  return 1 in seen''', 'isHappy', [([19], True), ([2], False)], ('** 2', '* 2')),
    ('''def fizz(n: int) -> List[str]:
  cycles = zip(cycle(['', '', 'Fizz']), cycle(['', '', '', '', 'Buzz']), range(1, n + 1))
  return [a + b or str(i) for a, b, i in cycles]''', 'fizz', [([3], ['1', '2', 'Fizz']),
     ([5], ['1', '2', 'Fizz', '4', 'Buzz'])], ("'', '', '', '', 'Buzz'", "'', '', '', 'Buzz'")),
    ('''def lastStones(stones: List[int]) -> int:
  heap = [-s for s in stones]
  heapq.heapify(heap)
  while len(heap) > 1: heapq.heappush(heap, heapq.heappop(heap) - heapq.heappop(heap))
  return -heap[0]''', 'lastStones', [([[2, 7, 4, 1, 8, 1]], 1), ([[3]], 3), ([[9, 2]], 7)], ('-heap[0]', 'heap[0]')),
    ('''Car = namedtuple('Car', 'at speed')
def fleets(target: int, position: List[int], speed: List[int]) -> int:
  arrive = [(target - c.at) / c.speed for c in sorted(map(Car, position, speed), reverse=True)]
  return len(set(accumulate(arrive, max)))''', 'fleets', [([12, [10, 8, 0, 5, 3], [2, 4, 1, 1, 3]], 3),
     ([10, [3], [3]], 1)], ('reverse=True', 'reverse=False')),
    ('''def seatings(n: int, k: int) -> int: return perm(n, k)''', 'seatings', [([5, 2], 20), ([3, 3], 6)],
     ('perm', 'comb')),
    ('''def bitsNeeded(n: int) -> int: return floor(log2(n)) + 1''', 'bitsNeeded', [([8], 4), ([7], 3)],
     ('floor', 'ceil')),
    ('''def clockwise(points: List[List[int]]) -> List[List[int]]:
  return sorted(points, key=lambda p: -atan2(p[1], p[0]))''', 'clockwise',
     [([[[1, 0], [0, 1], [0, -1]]], [[0, 1], [1, 0], [0, -1]]), ([[[2, 2]]], [[2, 2]])], ('-atan2', 'atan2')),
    ('''def addToArray(num: List[int], k: int) -> List[int]:
  return [*map(int, str(int(''.join(map(str, num))) + k))]''', 'addToArray', [([[1, 2, 0, 0], 34], [1, 2, 3, 4]),
     ({'k': 1, 'num': [9]}, [1, 0])], (' + k', ' - k')),
    ('''def tidy(text: str) -> str: return dumps(loads(text), sort_keys=True)''', 'tidy',
     [(['{"b":1,"a":[]}'], '{"a": [], "b": 1}'), (['[0]'], '[0]')], ('True', 'False')),
    ('''def scaled(nums: List[int], k: int) -> List[int]: return list(map(partial(mul, k), nums))''', 'scaled',
     [([[1, 2], 3], [3, 6]), ([[], 1], [])], ('mul', 'add')),
    ('''def setting(layers: List[Dict[str, int]], key: str) -> int: return ChainMap(*layers).get(key, -1)''', 'setting',
     [([[{'a': 1}, {'a': 2, 'b': 3}], 'a'], 1), ([[{}], 'c'], -1)], ('*layers', '*layers[::-1]')),
    ('''def lineLengths(text: str) -> List[int]: return [len(line.rstrip()) for line in StringIO(text)]''',
     'lineLengths', [(['ab\n\nc'], [2, 0, 1]), ([''], [])], ('.rstrip()', '')),
    ('''def triangle(n: int) -> int: return n + triangle(n - 1) if n > 0 else 0
triangle = lru_cache(None)(triangle)
assert triangle(3) == 6''', 'triangle', [([4], 10), ([3], 6)], ('n > 0', 'n > 3')),
    ('''SQUARES = set(takewhile(lambda s: s <= 10 ** 4, (i * i for i in count(1))))
def isSquare(n: int) -> bool: return n in SQUARES
if __name__ == '__main__': print(isSquare(49))''', 'isSquare', [([49], True), ([50], False), ([10000], True)],
     ('<= 10 ** 4', '< 10 ** 4')),
]


def _first(methods: str) -> str:
  return methods.split('(')[0].split()[-1]


PROGRAMS = [('class Solution:\n' + methods, 'Solution().' + _first(methods), *rest) for methods, *rest in _METHODS]
PROGRAMS += _CLASSES + _FUNCTIONS
