"""Wrong command lines, each in a process that is forked behind the imports: tests/cli_test.py runs this file, which
prints a line of JSON a case: {line, code, err, out, left}."""

import json
import os
import pathlib
import shlex
import signal
import sys
import tempfile

LINES = r"""
r1jax nope
r1jax trian r1_zero:tiny
r1jax configs nope
r1jax configs r1_zero:huge
r1jax configs r1_zero extra
r1jax configs --nope
r1jax serve --port=1
r1jax tables
r1jax train
r1jax train r1_zero:tiny
r1jax train --workdir=w
r1jax train r1zero:tiny --workdir=w
r1jax train nofile.py --workdir=w
r1jax train broken.py --workdir=w
r1jax train r1_zero:huge --workdir=w
r1jax train r1_zero:tiny w
r1jax train --workdir=w broken.py:tiny
r1jax plan --fit tiny --topology=h100:1x1
r1jax train r1_zero:tiny --work_dir=w
r1jax train r1_zero:tiny --workdir=gs://bucket/run
r1jax train r1_zero:tiny --workdir=~nobodyhere/run
r1jax train r1_zero:tiny --workdir=a_file
r1jax train r1_zero:tiny --workdir=w --config.rl.stepps=4
r1jax train r1_zero:tiny --workdir=w --config.rl=4
r1jax train r1_zero:tiny --workdir=w --config.rl.steps=four
r1jax train r1_zero:tiny --workdir=w --config.rl.steps=0
r1jax train r1_zero:tiny --workdir=w --config.rl.steps=81
r1jax train r1_zero:tiny --workdir=w --config.rl.samples=1
r1jax train r1_zero:tiny --workdir=w --config.rl.samples=-2
r1jax train r1_zero:tiny --workdir=w --config.rl.aggregate=token
r1jax train r1_zero:tiny --workdir=w --config.rl.scale=stdd
r1jax train r1_zero:tiny --workdir=w --config.rl.ratio=seq
r1jax train r1_zero:tiny --workdir=w --config.rl.old_logps=traner
r1jax train r1_zero:tiny --workdir=w --config.rl.template=r3
r1jax train r1_zero:tiny --workdir=w --config.rl.max_tokens=0
r1jax train r1_zero:tiny --workdir=w --config.rl.max_tokens=100000
r1jax train r1_zero:tiny --workdir=w --config.rl.kl_coef=-1
r1jax train r1_zero:tiny --workdir=w --config.rl.temperature=-1
r1jax train r1_zero:tiny --workdir=w --config.rl.minibatches=3
r1jax train r1_zero:tiny --workdir=w --config.rl.dynamic_tries=3 --config.rl.lag=1
r1jax train r1_zero:tiny --workdir=w --config.rl.task.source=reasoning_gym:nope
r1jax train r1_zero:tiny --workdir=w --config.rl.task.source=jsonl:missing.jsonl
r1jax train r1_zero:tiny --workdir=w --config.rl.task.source=jsonl:bad.jsonl
r1jax train r1_zero:tiny --workdir=w --config.rl.task.source=csv:bad.jsonl
r1jax train r1_zero:tiny --workdir=w --config.rl.task.source=jsonl:gs://b/f.jsonl
r1jax train r1_zero:tiny --workdir=w --config.dtype=bf16
r1jax train r1_zero:tiny --workdir=w --config.remat=ful
r1jax train r1_zero:tiny --workdir=w --config.attention=flash
r1jax train r1_zero:tiny --workdir=w --config.mesh.fsdp=3
r1jax train r1_zero:tiny --workdir=w --config.mesh.nope=3
r1jax train r1_zero:tiny --workdir=w --config.topology=huge
r1jax train r1_zero:tiny --workdir=w --config.seed=-1
r1jax train r1_zero:tiny --workdir=w --config.seed=x
r1jax train r1_zero:tiny --workdir=w --config.rewards="{'nope': 1.0}"
r1jax train r1_zero:tiny --workdir=w --config.rewards="{'missing.py:f': 1.0}"
r1jax train r1_zero:tiny --workdir=w --config.base.model=nope
r1jax train r1_zero:tiny --workdir=w --config.base.mixture.slip=-1
r1jax train r1_zero:tiny --workdir=w --config.rewards="{'accuracy': 1e999}"
r1jax train r1_zero:tiny --workdir=w --config.rewards.format=nan
r1jax train r1_zero:tiny --workdir=w --config.model.rope_scaling.kind=yarnn
r1jax train r1_zero:tiny --workdir=w --config.logit_elements=0
r1jax train search:prm --workdir=w --config.beam.keep=0
r1jax train search:prm --workdir=w --config.any_search.samples=4
r1jax train search:prm --workdir=w --config.steps.least_auc=1.5
r1jax train search:prm --workdir=w --config.steps.estimate=medium
r1jax train search:prm --workdir=w --config.steps.form=tail
r1jax train search:prm --workdir=w --config.steps.form=head
r1jax train search:prm --workdir=w --config.steps.beta=0
r1jax train search:prm --workdir=w --config.steps.rollouts=-1
r1jax train r1_zero:tiny --workdir=w --config.base.corpus=poems
r1jax train r1_zero:tiny --workdir=w --config.base.batch=0
r1jax train r1_zero:tiny --workdir=w --config.checkpoints.every=0
r1jax train r1_zero:tiny --workdir=w --config.checkpoints.keep=0
r1jax train r1_zero:tiny --workdir=w --config.evaluate.top_p=0
r1jax train r1_zero:tiny --workdir=w --config.evaluate.samples=0
r1jax train r1_zero:tiny --workdir=w --rerun=nope
r1jax train r1_zero:tiny --workdir=w --profile=5:3
r1jax train r1_zero:tiny --workdir=w --profile=x
r1jax train r1_zero:qwen2.5-1.5b --workdir=w
r1jax train r1_zero:qwen2.5-1.5b --workdir=w --config.base.source=missing
r1jax train r1:no-language --workdir=w
r1jax train r1:no-language --workdir=w --config.from_run=missing
r1jax train r1:qwen2.5-7b --workdir=w
r1jax evaluate
r1jax evaluate --checkpoint=missing --tasks=chain_sum --workdir=w
r1jax evaluate --checkpoint=missing --tasks=chain_sum --workdir=w --samples=0
r1jax evaluate --checkpoint=missing --tasks=chain_sum --workdir=w --nope=1
r1jax evaluate --checkpoint=missing --tasks=chain_sum --workdir=w --samples=x
r1jax evaluate --checkpoint=missing --tasks=chain_sum --workdir=w --mesh=fspd=2
r1jax evaluate --checkpoint=missing --tasks=chain_sum --workdir=w --dtype=fp8
r1jax evaluate --checkpoint=gs://b/c --tasks=chain_sum --workdir=w
r1jax serve
r1jax serve --checkpoint=missing --port=0
r1jax serve --checkpoint=tiny-base --port=70000
r1jax serve --checkpoint=tiny-base --queue=-1
r1jax convert
r1jax convert transmute
r1jax convert import --out=w
r1jax convert import --source=missing --out=w
r1jax convert import --source=https://huggingface.co/Qwen/Qwen2.5-0.5B --out=w
r1jax convert import --source=missing --out=w --dtype=int8
r1jax convert export --checkpoint=missing --out=w
r1jax plan
r1jax plan r1_zero:tiny --topology=v9:2x2
r1jax plan r1_zero:tiny --topology=cpu
r1jax plan r1_zero:tiny --lengths=x
r1jax plan r1_zero:tiny --only=nope
r1jax plan r1_zero:qwen2.5-32b
r1jax rehearse
r1jax rehearse r1_zero:nope
r1jax rehearse r1_zero:qwen2.5-32b --stages=nope
r1jax bench bench:W9
r1jax bench nope:W1
r1jax report
r1jax report --workdir=missing
r1jax report --workdir=gs://b/r
r1jax report w
r1jax sweep
r1jax sweep r1_zero:tiny
r1jax sweep r1zero:tiny --workdir=w
r1jax sweep r1_zero:tiny --workdir=w --seeds=0
r1jax sweep r1_zero:tiny --workdir=w --seeds=2 --config.seed=1
r1jax sweep r1_zero:tiny --workdir=w nope
r1jax sweep objectives --workdir=w --only=nope
r1jax sweep r1_zero:tiny --workdir=w --config.rl.steps=1,,2
r1jax sweep r1_zero:tiny --workdir=w --config.rl.learning_rate=1e-4,-1
r1jax train r1_zero:tiny --print_config --config.rl.ratio=tokens
"""
FILES = {'broken.py': 'import nothing_of_that_name\n', 'a_file': 'x', 'bad.jsonl': '{"question": "a"}\n{not json\n'}


def one(line: str) -> dict:
  """Exit code, what it said and what it left, of a line in a folder of its own."""
  with tempfile.TemporaryDirectory() as place, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
    for name, text in FILES.items():
      (pathlib.Path(place) / name).write_text(text)
    child = os.fork()
    if not child:
      signal.alarm(60)  # one that runs is no line that is refused
      os.chdir(place)
      os.dup2(out.fileno(), 1)
      os.dup2(err.fileno(), 2)
      code = 99
      try:
        from r1jax import cli
        sys.argv = shlex.split(line)
        code = cli.main(sys.argv)
      except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
      except BaseException:  # pylint: disable=broad-except  it is what is looked for
        import traceback
        traceback.print_exc()
      finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    said = []
    for file in (out, err):
      file.seek(0)
      said.append(file.read().decode(errors='replace'))
    left = sorted(set(os.listdir(place)) - set(FILES) - {'__pycache__'})
    return dict(line=line, code=code, out=said[0], err=said[1], left=left)


def main() -> None:
  # What takes seconds to import; commands themselves are run anew in each child.
  import absl.flags, jax, matplotlib, ml_collections, optax, orbax.checkpoint  # noqa: E401,F401
  import r1jax.checks, r1jax.pipeline, r1jax.stages.evaluate, r1jax.convert, r1jax.report, r1jax.plan.chips  # noqa: E401,F401
  for line in filter(None, LINES.splitlines()):
    print(json.dumps(one(line)), flush=True)


if __name__ == '__main__':
  main()
