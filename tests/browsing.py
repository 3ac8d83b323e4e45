"""Made-up runs with many samples, and what the page that browses them lists."""

import json
import pathlib
import random
import urllib.parse

ENGLISH = 'We add the numbers from left to right and look again whether each sum is right. '
CHINESE = '我们从左到右把这些数字相加，然后再检查一遍。'
HOSTILE = [
    '</script><script>window.hacked = 1</script>', '<img src=x onerror="window.hacked = 2">', '<!--', ']]>', '-->',
    '<script>', '\\u003cscript>', '&lt;b&gt;', 'a\x00b\x1b[31m\x7f', '\ud800 alone', '\u202egnitirw', 'שלום עולם',
    '\u2028\u2029', '$\\href{javascript:window.hacked=3}{x}$', '$\\htmlData{a=b}{x}$', '$' * 5000, '\\boxed{' * 3000,
    '$\\def\\a{\\a\\a}\\a$', '\\(\\includegraphics{http://example.com/x.png}\\)', '`${window.hacked = 4}`', '"\'\\',
    '<think>' * 50, '__proto__', '<base href="http://example.com/">', '\U0001f9ee' * 10]


def sample(rng, words=30):
  """A sample as an evaluation keeps it: maths, two languages, some cut at the limit."""
  right, many = rng.random() < 0.4, 1 + int(rng.expovariate(1 / words))
  body = (CHINESE if rng.random() < 0.2 else ENGLISH) * (1 + many // 15)
  answer = str(rng.randrange(50))
  finish = 'length' if rng.random() < 0.1 else 'stop'
  text = f'<think> {body} So $\\frac{{{many}}}{{2}} + x^2$ follows. </think> <answer> \\boxed{{{answer}}} </answer>'
  return {'text': text, 'tokens': many, 'finish': finish, 'answer': answer, 'correct': right,
          'reason': 'correct' if right else 'wrong', 'language': round(rng.random(), 3)}


def make(path, questions=20, n=8, models=('base', ''), seed=0, steps=3, words=30):
  """A pipeline's last stage that evaluated `models` (the final one has no name), and training of some steps."""
  rng = random.Random(seed)
  path.mkdir(parents=True)
  (path / 'config.json').write_text(json.dumps({'name': path.name, 'seed': seed}))
  for stage, row in (('2_rl', {'step': 1, 'stage': 'rl', 'rollout': 1}), ('3_evaluate', {'step': 1, 'stage': 'evaluate'})):
    (path / stage).mkdir()
    (path / stage / 'metrics.jsonl').write_text(json.dumps(row) + '\n')
  for model in models:
    place = path / '3_evaluate' / 'eval' / ('sums' + (f'.{model}' if model else ''))
    place.mkdir(parents=True)
    with open(place / 'samples.jsonl', 'w') as file:
      for question in range(questions):
        file.write(json.dumps({
            'task': 'sums', 'id': f'q{question}', 'prompt': f'What is ${question} + 4$?', 'gold': str(question + 4),
            'samples': [sample(rng, words) for _ in range(n)]}) + '\n')
  (path / '2_rl' / 'samples').mkdir()
  for step in range(1, steps + 1):
    with open(path / '2_rl' / 'samples' / f'step_{step:08d}.jsonl', 'w') as file:
      for number in range(2 * n):
        one = sample(rng)
        rewards = {'accuracy': float(one['correct']), 'format': round(rng.random(), 3)}
        file.write(json.dumps({
            'step': step, 'group': number // n, 'sample': number % n, 'id': f'train{number // n}', 'prompt': 'What?',
            'gold': '1', 'completion': one['text'], 'tokens': one['tokens'], 'finish': one['finish'],
            'rewards': rewards, 'reasons': {}, 'reward': sum(rewards.values()), 'advantage': rng.gauss(0, 1),
            'correct': one['correct']}) + '\n')
  return path


def evaluated(path, folder='sums'):
  """[(question, number, sample)] in the order of the file."""
  file = path / '3_evaluate' / 'eval' / folder / 'samples.jsonl'
  return [(row, i, one) for row in map(json.loads, file.read_text().splitlines()) for i, one in enumerate(row['samples'])]


def trained(path):
  return [row for file in sorted((path / '2_rl' / 'samples').glob('*.jsonl'), reverse=True)
          for row in map(json.loads, file.read_text().splitlines())]


class Browser:
  """The page of a run, and what it lists under some controls."""

  def __init__(self, page, path):
    self.page, self.path = page, pathlib.Path(path)

  def show(self, parts=(), **controls):
    query = urllib.parse.urlencode([*controls.items(), *(('part', json.dumps(part)) for part in parts)])
    self.page.open(self.path, f'#?{query}')
    return self.wait()

  def wait(self):
    """(matches, right of these) as the page says."""
    self.page.until("document.querySelector('#list > *') && !/looked through|reading/.test(by('matches').textContent)")
    said = self.page.evaluate("by('matches').textContent").replace(',', '').split()
    return (int(said[0]), int(said[5]) if 'right.' in said else None) if said else None

  def listed(self):
    """Every (moment's key, question, number) in order, all pages."""
    return [tuple(one) for one in self.page.evaluate(
        'listed.map(([m, row]) => [m.key, m.table.questions.id[m.table.question[row]], m.table.i[row]])')]


def script(path):
  text = path.read_text()
  return json.loads(text[text.index(', ') + 2:].rstrip().removesuffix(');'))


# Elements whose letters are too faint on what they stand on; null where there are none.
CONTRAST = '''(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(x => (x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => { for (; node; node = node.parentElement) {
    const found = rgb(getComputedStyle(node).backgroundColor);
    if (found.length < 4 || found[3] > 0.99) return found; } return [255, 255, 255]; };
  const low = {};
  for (const node of document.querySelectorAll('main *')) {
    if (![...node.childNodes].some(one => one.nodeType === 3 && one.data.trim()) || !node.getClientRects().length
      || node.disabled || node.closest('option')) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low[node.tagName + '.' + node.className] = ratio;
  }
  return Object.keys(low).length ? low : null; })()'''
