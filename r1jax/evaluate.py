"""Command: n samples a question -> pass@1, pass@k, cons@k, length.

  python -m r1jax.evaluate --checkpoint=DIR --tasks=chain_sum --samples=64 --temperature=0.6 --top_p=0.95 \\
      --max_tokens=32768 --workdir=DIR
"""

import argparse
import json
import os
import sys

from r1jax import metrics
from r1jax.data import tasks
from r1jax.engine import compile_cache
from r1jax.engine import mesh as mesh_lib
from r1jax.stages import common
from r1jax.stages.evaluate import Evaluator, as_metrics, scores, write
from r1jax.stages.evaluate import majority, pass_at_k  # public here
from r1jax.types import UserError


def _columns(text: str) -> dict[str, str]:
  """'question=NAME,answer=NAME' as a map."""
  pairs = [pair.split('=', 1) for pair in text.split(',') if pair]
  if any(len(pair) != 2 for pair in pairs):
    raise UserError(f'--columns={text!r}: wants question=NAME,answer=NAME')
  return dict(pairs)


def main(argv: list[str]) -> int:
  """The command in this module's docstring; exit 2 and one line for a mistake."""
  parser = argparse.ArgumentParser(prog='r1jax.evaluate', description=__doc__.splitlines()[0])
  parser.add_argument('--checkpoint', required=True, help="a stage's work dir, one step's dir, or what convert wrote")
  parser.add_argument('--tasks', required=True, help='names, with commas between them')
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--samples', type=int, default=64)  # section 3, as the three that follow
  parser.add_argument('--temperature', type=float, default=0.6)
  parser.add_argument('--top_p', type=float, default=0.95)
  parser.add_argument('--max_tokens', type=int, default=32768)
  parser.add_argument('--max_prompt', type=int, default=1024)
  parser.add_argument('--batch', type=int, default=8, help='questions at a time')
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--template', default='',
                      help="how questions are put; default: the task's own, table 1's for most")
  parser.add_argument('--answer_type', default='auto', help="of a file's rows that name none")
  parser.add_argument('--columns', default='', help='question=NAME,answer=NAME: of a file with other names')
  parser.add_argument('--dtype', default='float32')
  a = parser.parse_args(argv[1:])
  try:
    compile_cache.use('auto')
    mesh = mesh_lib.create({'data': -1})
    attention = common.attention_path('auto', a.dtype, mesh)
    model, tokenizer, step_dir = common.load_model(a.checkpoint, dtype=a.dtype, attention=attention)
    if a.max_prompt + a.max_tokens > model.config.max_length:
      raise UserError(f'max_prompt={a.max_prompt} + max_tokens={a.max_tokens} exceed the model\'s '
                      f'max_length={model.config.max_length}: lower them')
    os.makedirs(a.workdir, exist_ok=True)
    with mesh_lib.use_mesh(mesh, mesh_lib.DECODE_RULES), metrics.Writer(a.workdir, 'evaluate') as writer:
      params = common.load_sampling_params(model, step_dir, mesh)
      asked = {name: tasks.name_of(name) for name in a.tasks.split(',')}
      twice = [name for name, short in asked.items() if list(asked.values()).count(short) > 1]
      if twice:
        raise UserError(f'--tasks: {" and ".join(twice)} would both be written as {asked[twice[0]]!r}: '
                        'evaluate them in two work dirs')
      for source, name in asked.items():
        rows, template = tasks.named(source, answer_type=a.answer_type, columns=_columns(a.columns))
        template = a.template or template
        rows = [{**row, 'task': name} for row in rows]
        evaluator = Evaluator(model, tokenizer, mesh, rows, template=template, samples=a.samples,
                              max_prompt=a.max_prompt, max_tokens=a.max_tokens, batch=a.batch,
                              temperature=a.temperature, top_p=a.top_p, seed=a.seed)
        records = evaluator(params)
        evaluator.close()
        result = scores(records, evaluator.rows, evaluator.settings, name)
        write(os.path.join(a.workdir, 'eval', name), records, result)
        writer.write(int(os.path.basename(step_dir)), {'model': 'final', **as_metrics(result)})
        print(json.dumps(result))
  except (UserError, OSError) as e:
    print(f'r1jax: {e}', file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv))
