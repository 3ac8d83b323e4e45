"""What r1jax.plan looks at before a compiler is asked: a run's own checks, on the topology's devices."""

import json
import os

import pytest

from r1jax import checks
from r1jax.engine import mesh as mesh_lib
from r1jax.exceptions import UserError
from r1jax.plan import __main__ as command
from r1jax.plan import chips, phases, places

import runs

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


R1, TINY, STARTER = ('r1', 'qwen2.5-7b'), ('r1_zero', 'tiny'), ('r1_zero', 'qwen2.5-1.5b')
PRM, MCTS, STUDENT = ('search', 'prm-qwen2.5-7b'), ('search', 'mcts-qwen2.5-7b'), ('distill', 'qwen-7b')
WRONG = [  # (config, keys, what the line says)
    (STARTER, {'rl.max_tokens': 200000}, 'rl.max_prompt=256 + rl.max_tokens=200000 exceed max_length=131072 of '
     'qwen2.5-1.5b: lower them, or say --config.model.max_length=200256'),
    (STARTER, {'model.max_length': 4096}, 'rl.max_prompt=256 + rl.max_tokens=4096 exceed max_length=4096'),
    (STARTER, {'evaluate.max_tokens': 131072}, 'stage evaluate: evaluate.max_prompt=256 + evaluate.max_tokens=131072'),
    (STUDENT, {'model.max_length': 0}, 'stage student: student.length=32768 exceed max_length=4096 of qwen2.5-math-7b'),
    (R1, {'cold_data.max_prompt': 131072}, 'stage cold_data: cold_data.max_prompt=131072'),
    (R1, {'reject.max_tokens': 131072}, 'stage reject: reject.max_prompt=1024 + reject.max_tokens=131072'),
    (R1, {'helpful.length': 140000, 'helpful.micro_tokens': 16 * 140000}, 'stage helpful: helpful.length=140000'),
    (PRM, {'beam.max_tokens': 131072}, 'stage beam: beam.max_prompt=1024 + beam.max_tokens=131072'),
    (TINY, {'base.length': 300}, 'stage base: base.length=300 exceed max_length=256 of tiny: lower them'),
    (TINY, {'rl.max_prompt': 220}, 'exceed max_length=256 of tiny: lower them'),
    (TINY, {'evaluate.max_prompt': 200}, 'evaluate.max_tokens=48 and a prefill exceed max_length=256'),
    (STARTER, {'rl.groups': 30}, 'rl.groups=30 is not a multiple of the 4 devices on mesh axes data x fsdp'),
    (STARTER, {'rl.slots': 255}, 'rl.slots=255 is not a multiple of the 4'),
    (STARTER, {'evaluate.slots': 0, 'evaluate.batch': 3, 'evaluate.samples': 2}, 'evaluate.batch x samples=6 is not'),
    (R1, {'cold_start.batch': 30, 'cold_start.batch_of': 'rows'}, 'cold_start.batch=30 is not a multiple of the 8'),
    (R1, {'harmless.batch': 36}, 'harmless.batch=36 is not a multiple of the 8'),
    (R1, {'reject.batch': 1, 'reject.samples': 9}, 'reject.batch x samples=9'),
    (PRM, {'beam.batch': 3, 'beam.samples': 4}, 'beam.batch x samples / keep=3'),
    (MCTS, {'search.batch': 1}, 'search.batch x expand=3'),
    (MCTS, {'steps.sample_batch': 1, 'steps.samples': 4}, 'sample_batch x samples=4'),
    (STARTER, {'rl.micro_tokens': 8192}, 'rl: micro_tokens=8192 are fewer than one row of 4096 tokens on each of 4'),
    (R1, {'sft.micro_tokens': 8192}, 'sft: micro_tokens=8192 are fewer than one row'),
    (R1, {'second.micro_tokens': 8 * 8192}, 'second.micro_tokens=65536 are fewer than one pair, two rows of 8192'),
    (STARTER, {'attention': 'cudnn'}, "config.attention='cudnn' runs on GPUs alone, this is a tpu"),
    (STARTER, {'mesh.data': -1, 'mesh.fsdp': -1}, 'more than one -1'),
    (STARTER, {'rl.samples': 1}, 'rl.samples=1: a group of one'), (STARTER, {'rl.template': 'x'}, "no template 'x'"),
    (STARTER, {'rl.task.size': 0}, 'rl.task.size=0: reasoning_gym:chain_sum makes problems without end'),
    (STARTER, {'rl.task.source': 'none:x'}, "no source 'none:x'"),
    (STARTER, {'rl.task.answer_type': 'x'}, "rl.task.answer_type='x' is not one of"),
    (STARTER, {'rl.task.reward': 'maths'}, "rl.task.reward='maths': no reward 'maths'"),
    (STARTER, {'evaluate.task.split': 'test'}, "evaluate.task.split='test' is not one of"),
    (STARTER, {'rewards': {'overlong': 1.0}, 'rl.overlong_buffer': 5000}, "overlong_buffer=5000: the reward"),
    (STARTER, {'rewards': {'brevty': 1.0}}, "no reward 'brevty'"), (STARTER, {'base.model': 'huge'}, "no model 'huge'"),
    (STARTER, {'base.model': ''}, "stage 'rl': nothing says which model it works on"),
    (STARTER, {'model.rope_scaling.kind': 'yarn'}, 'with a kind it needs a factor over 1'),
    (R1, {'cold_data.few_shot.questions': 0, 'cold_data.reflection.questions': 0, 'cold_data.zero.questions': 0},
     'cold_data asks nothing: questions of cold_data.few_shot'),
    (R1, {'reject.judge.kind': 'model', 'reject.judge.template': 'x'}, "reject.judge.template='x': no template 'x'"),
    (R1, {'reject.judge.kind': 'endpoint'}, 'needs judge.url'),
    (R1, {'scenarios.general.share': 1.0}, 'general.share=1.0'),
    (R1, {'evaluate.general.source': 'champ'}, "evaluate.general.source: no general questions in 'champ'"),
    (PRM, {'beam.split': 'test'}, "beam.split='test'"), (PRM, {'beam.step_tokens': 8000}, 'beam.step_tokens=8000'),
    (TINY, {'rl.moe_replay': True}, "has no experts to be replayed: set moe_replay=False"),
    (('r1', 'tiny'), {'base.spare_tokens': 0}, 'base.spare_tokens=0, but formats of cold_start and before it add 1'),
]


def given(which, keys):
  """A config with other values."""
  config = runs.experiment(*which)
  for key, value in keys.items():
    if isinstance(value, dict):
      config[key].update(value)
    else:
      config.update_from_flattened_dict({key: value})
  return config


@pytest.fixture
def plan(monkeypatch, capsys):
  """The command in this process, without its compilers: (a config, flags) -> (exit code, what it says)."""
  def run(config, compiled=lambda *_: pytest.fail('it compiles'), **flags):
    values = dict(_TOPOLOGY=None, _CHILD=None, _LENGTHS='', _ONLY=None, _WITHOUT_FILES=True, _JSON=False, _FIT=False)
    for name, value in {**values, **flags}.items():
      monkeypatch.setattr(command, name, type('F', (), {'value': value}))
    monkeypatch.setattr(command.options, 'parse', lambda argv: config)
    monkeypatch.setattr(command, '_in_child', compiled)
    return command.main(['plan']), capsys.readouterr()

  return run


@pytest.mark.parametrize('which, keys, said', WRONG)
def test_what_cannot_start_is_one_line_before_anything_compiles(which, keys, said, plan):
  code, out = plan(given(which, keys))
  assert code == 2
  assert out.err.startswith('r1jax: ') and out.err.count('\n') == 1 and said in out.err and not out.out, out.err


@pytest.mark.parametrize('stages, said', [
    ([dict(name='rl', run='rl', inputs={})], "stage 'rl' needs the input 'checkpoint'"),
    ([dict(name='base', run='convert', inputs={}), dict(name='rll', run='rl', inputs=dict(checkpoint='base'))],
     "stage 'rll' reads the part 'rll' of the config"),
    ([dict(name='evaluate', run='evaluate', inputs=dict(reward_a='from_run/a'))], 'has no model to evaluate'),
    ([dict(name='evaluate', run='evaluate', inputs=dict(final='rl'))], "takes input from 'rl', which is no earlier"),
    ([dict(name='base', run='convert', inputs={})], 'nothing to plan')])
def test_stages_that_cannot_be_are_one_line(stages, said):
  config = runs.experiment(*STARTER)
  config.stages = tuple(stages)
  with pytest.raises(UserError) as error:
    phases.check(config, chips.topology(config.topology))
  assert said in str(error.value) and '\n' not in str(error.value)


@pytest.mark.parametrize('which, keys, said', [
    (STARTER, {}, 'base.source is empty: --config.base.source=DIR, a Hugging Face directory of qwen2.5-1.5b'),
    (STARTER, {'base.source': 'nowhere'}, "base.source='nowhere': --source=nowhere is neither"),
    (TINY, {'rl.task.source': 'jsonl:none.jsonl'}, "rl.task.source='jsonl:none.jsonl': no file none.jsonl: give one"),
    (TINY, {'rl.task.source': ''}, "rl.task.source='': the source is ''"),
    (TINY, {'evaluate.task.source': 'own.py:rows'}, "evaluate.task.source='own.py:rows': own.py:rows: no file own.py"),
    (TINY, {'rewards': {'own.py:f': 1.0}}, 'own.py:f: no file own.py'),
    (('distill', 'tiny'), {}, "from_run='' holds no run: give the work dir of a finished one, --config.from_run=DIR"),
    (('distill', 'tiny'), {'from_run': 'nowhere'}, "from_run='nowhere' holds no run")])
def test_what_a_run_reads_and_is_missing_is_one_line_with_both_ways_out(which, keys, said):
  config = given(which, keys)
  where = chips.topology(config.topology)
  with pytest.raises(UserError) as error:
    phases.check(config, where, files=True)
  assert said in str(error.value) and '\n' not in str(error.value)
  assert str(error.value).endswith('; or --without-files, to plan without what a run reads')
  phases.check(config, where)


def test_a_source_s_own_sizes_are_planned(tmp_path):
  """max_length is that of config.json, not of the name's, and config.model.max_length overrides it."""
  from r1jax.rehearse import inputs
  # 4,096 positions, where nano-qwen has 256.
  source = inputs.publish(str(tmp_path / 'base'), str(tmp_path), 'nano-qwen')
  keys = {'base.source': source, 'base.model': 'nano-qwen', 'rl.max_tokens': 3840, 'evaluate.max_tokens': 3840}
  config = given(STARTER, keys)
  where = chips.topology(config.topology)
  phases.check(config, where, files=True)
  assert phases.model_of(config, 'rl').config.max_length == 4096
  with pytest.raises(UserError, match=r'rl.max_prompt=256 \+ rl.max_tokens=3841 exceed max_length=4096 of /.*base'):
    phases.check(given(STARTER, {**keys, 'rl.max_tokens': 3841}), where, files=True)
  phases.check(given(STARTER, {**keys, 'rl.max_tokens': 3841, 'model.max_length': 8192}), where, files=True)
  phases.by_name(config)
  assert phases.model_of(config, 'rl').config.max_length == 256
  with pytest.raises(UserError, match='exceed max_length=256 of nano-qwen'):
    phases.check(config, where)


def test_checks_see_the_topology_s_devices_and_not_these(monkeypatch):
  """512 chips where there are eight devices; no backend is asked for any."""
  monkeypatch.setattr(mesh_lib.jax, 'devices', lambda: pytest.fail('this machine was asked'))
  config = runs.experiment('r1_zero', 'deepseek-v3')
  where = chips.topology(config.topology)
  phases.check(config, where)
  with mesh_lib.over(places.devices(where)):
    mesh = mesh_lib.create(config.mesh)
  assert dict(mesh.shape) == dict(data=1, fsdp=32, tensor=1, expert=16) and mesh_lib.platform(mesh) == 'tpu'
  assert len({device.process_index for device in mesh.devices.flat}) == where.hosts == 128
  monkeypatch.undo()
  assert mesh_lib.platform(mesh_lib.create({'data': -1})) == 'cpu'


@pytest.mark.parametrize('which, across', [
    (('r1_zero', 'qwen2.5-32b'), ['fsdp', 'tensor']), (('r1_zero', 'deepseek-v3'), ['fsdp', 'expert']),
    (STARTER, [])])
def test_axes_that_cross_hosts_are_named(which, across, plan, monkeypatch):
  monkeypatch.setattr(command, '_installed', lambda package: True)
  monkeypatch.setattr(command, 'run_table', lambda run, where: f'the run of {run}')
  entry = dict(compiled=lambda *_: 'rl', _ONLY='rl/run')
  code, out = plan(runs.experiment(*which), **entry)
  assert code == 0 and out.out == f'across hosts: {", ".join(across) or "none"}\n\nthe run of rl\n'
  code, out = plan(runs.experiment(*which), **entry, _JSON=True)
  assert code == 0 and json.loads(out.out)['across_hosts'] == across


def test_rows_that_do_not_divide_are_said_in_a_run(caplog):
  """A run fills them up; a plan refuses them."""
  config = given(TINY, {'rl.groups': 12, 'mesh.data': 8, 'rl.micro_tokens': 8 * 48})
  with caplog.at_level('WARNING', 'r1jax'):
    checks.run(config, files=False)
  assert [m for m in caplog.messages if 'filled up' in m] == [
      'rl.groups=12 is no multiple of the 8 devices on mesh axes data x fsdp: filled up to 16']


@pytest.mark.parametrize('evaluated, said', [
    ('reasoning_gym:chain_sum', ['rl learns from mine and is measured on chain_sum (evaluate.task.source)']),
    ('jsonl:{0}', [])])
def test_a_run_that_is_measured_on_other_questions_than_it_learns_from_says_so(tmp_path, caplog, evaluated, said):
  path = tmp_path / 'mine.jsonl'
  path.write_text(''.join(json.dumps({'question': f'{i} + 1 =', 'answer': i + 1}) + '\n' for i in range(40)))
  config = given(TINY, {'rl.task.source': f'jsonl:{path}', 'evaluate.task.source': evaluated.format(path)})
  with caplog.at_level('INFO', 'r1jax'):
    checks.run(config)
  assert [m for m in caplog.messages if 'is measured on' in m] == said
