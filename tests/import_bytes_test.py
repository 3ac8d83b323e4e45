"""What an import reads of its source: over devices and hosts each byte of a matrix once, the same bits everywhere."""

import json
import math
import os
import socket
import subprocess
import sys

from flax import traverse_util
import jax
import numpy as np
import pytest

from r1jax import convert, outputs, stopping
from r1jax.convert import reading, table
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import params as params_lib
from r1jax.models import zoo

import convert_test
import hosts_test

NANO = ['nano-llama', 'nano-qwen', 'nano-deepseek']  # dense, with biases, a mixture
SOURCES = [*NANO, 'fp8']


@pytest.fixture(scope='module')
def sources(tmp_path_factory):
  root = tmp_path_factory.mktemp('sources')
  for model in NANO:
    hosts_test.published(root / model, model)
  convert_test.write_v3(root / 'fp8')
  return root


@pytest.fixture(scope='module')
def said(sources, tmp_path_factory):
  """(hosts, devices a host) -> source -> what each host says of its import (import_bytes.py)."""
  found = {}

  def run(hosts, devices):
    if (hosts, devices) not in found:
      found[hosts, devices] = _run(sources, tmp_path_factory.mktemp('out'), hosts, devices)
    return found[hosts, devices]
  return run


def _run(sources, out, hosts, devices):
  with socket.create_server(('127.0.0.1', 0)) as free:
    port = free.getsockname()[1]
  env = {**os.environ, 'XLA_FLAGS': f'--xla_force_host_platform_device_count={devices}', 'JAX_PLATFORMS': 'cpu'}
  if hosts > 1:
    env |= {'JAX_COORDINATOR_ADDRESS': f'127.0.0.1:{port}', 'JAX_NUM_PROCESSES': str(hosts)}
  script = os.path.join(os.path.dirname(__file__), 'import_bytes.py')
  stage, paths = str(sources / f'out{hosts}x{devices}'), [str(sources / name) for name in SOURCES]
  all_ = [subprocess.Popen([sys.executable, script, str(out / f'{i}.json'), stage, *paths],
                           env=env | ({'JAX_PROCESS_ID': str(i)} if hosts > 1 else {}), cwd=out, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for i in range(hosts)]
  texts = [p.communicate(timeout=300)[0] for p in all_]
  assert [p.returncode for p in all_] == [0] * hosts, '\n'.join(texts)[-3000:]
  each = [json.loads((out / f'{i}.json').read_text()) for i in range(hosts)]
  return {name: [host[i] for host in each] for i, name in enumerate(SOURCES)}


LAYOUTS = [(1, 4), (2, 4)]  # meshes of four and of eight
read = lambda host, names: sum(b - a for name in names for a, b in host['spans'].get(name, ()))


@pytest.mark.parametrize('hosts, devices', LAYOUTS)
@pytest.mark.parametrize('source', SOURCES)
def test_each_byte_is_read_once(said, source, hosts, devices):
  """Of all hosts together; vectors by each, and scales of fp8 by two hosts where a run ends within their rows."""
  each = said(hosts, devices)[source]
  sizes, matrices = each[0]['sizes'], each[0]['matrices']
  for name, size in sizes.items():
    spans = sorted(tuple(span) for host in each for span in host['spans'].get(name, ()))
    if name.endswith('_scale_inv') and hosts > 1:
      assert spans and {i for a, b in spans for i in range(a, b)} == set(range(size)), name
    elif name in matrices:
      assert spans[0][0] == 0 and spans[-1][1] == size, name
      assert all(b == a for (_, b), (a, _) in zip(spans, spans[1:])), (name, spans)
    elif spans:  # what has no place in the model has none
      assert spans == [(0, size)] * hosts, name


@pytest.mark.parametrize('hosts, devices', LAYOUTS)
@pytest.mark.parametrize('source', SOURCES)
def test_a_host_reads_its_share_and_no_more(said, source, hosts, devices):
  """1/hosts of the matrices, to within a row of each of them; what the kernel says was read agrees."""
  for host in said(hosts, devices)[source]:
    sizes, matrices = host['sizes'], [name for name in host['matrices'] if not name.endswith('_scale_inv')]
    share = sum(sizes[name] for name in matrices) / hosts
    assert read(host, matrices) == pytest.approx(share, rel=0.02)
    got = sum(read(host, [name]) for name in sizes)
    assert got <= host['asked'] <= got + 4096


@pytest.mark.parametrize('source', SOURCES)
def test_a_host_holds_its_share_and_one_tensor(said, source):
  """Rows on their way are never more at a time than half the largest tensor; vectors are whole on all devices."""
  for host in said(2, 4)[source]:
    vectors = sum(host['sizes'][name] for name in host['sizes'] if name not in host['matrices'])
    assert host['on_the_way'] <= host['largest'] / 2
    assert host['whole'] / 2 < host['held'] <= host['whole'] / 2 + 8 * vectors


@pytest.mark.parametrize('source', SOURCES)
def test_the_bits_are_those_of_one_process(said, source):
  """Each device has, where it has it, what is there when all is read whole."""
  all_ = [host for layout in LAYOUTS for host in said(*layout)[source]]
  assert all(host['same'] for host in all_) and len({host['digest'] for host in all_}) == 1


def test_what_is_written_is_the_same(said, sources):
  """The whole stage, of a mixture: on one host with one device and with four, and on two."""
  convert.import_model(str(sources / 'nano-deepseek'), out=str(sources / 'out1x1'))
  outs = [sources / 'out1x1']
  for hosts, devices in LAYOUTS:
    said(hosts, devices)
    outs.append(sources / f'out{hosts}x{devices}')
  assert len({outputs.digest(str(out)) for out in outs}) == 1


@pytest.fixture
def stopped_reads(monkeypatch):
  """Names of tensors as they are read, of which the third is read as the run is asked to stop."""
  names, opened = [], convert.open_source

  def watched(*args):
    found = opened(*args)

    def read_(name, *rows):
      names.append(name)
      if len(names) == 3:
        stopping.requested.set()
      return found.read(name, *rows)
    return found._replace(read=read_)

  monkeypatch.setattr(convert, 'open_source', watched)
  yield names
  stopping.requested.clear()


def test_an_import_that_is_asked_to_stop_ends_between_two_arrays(sources, tmp_path, stopped_reads):
  """It leaves nothing half made, and the same command makes all of it."""
  source, out = str(sources / 'nano-qwen'), tmp_path / 'out'
  with pytest.raises(stopping.Stopped, match='while weights were read'):
    convert.import_model(source, out=str(out))
  count = len(stopped_reads)
  assert not out.exists() and count < 12
  stopping.requested.clear()
  convert.import_model(source, out=str(out))
  assert len(stopped_reads) - count > 20
  convert.import_model(source, out=str(tmp_path / 'whole'))
  assert outputs.digest(str(out)) == outputs.digest(str(tmp_path / 'whole'))


def test_a_mixture_that_is_dealt_out_ends_between_two_tensors(sources, stopped_reads):
  opened = convert.open_source(str(sources / 'nano-deepseek'))
  with pytest.raises(stopping.Stopped, match='while weights were read'):
    convert.load(opened, devices=jax.devices()[:4])
  assert len(set(stopped_reads)) < 5


@pytest.mark.parametrize('n, rows, fsdp, data', [
    (1, 129280, 512, 1), (128, 2048, 512, 1), (1, 7168, 512, 1), (29, 24576, 512, 1), (2, 12, 4, 3), (3, 10, 2, 2),
    (1, 5, 8, 1), (1, 7, 1, 3), (4, 36, 12, 1)])
def test_rows_are_dealt_out_to_each_device_once(n, rows, fsdp, data):
  """Also where they are no multiple of the devices, or fewer; and each device keeps those that it is to keep."""
  for split in ('', 'columns', *(['rows'] if rows % fsdp == 0 else [])):
    plan = reading.Plan(n, rows, 8, fsdp, data, split)
    pieces = [(p, number) for number in range(fsdp * data) for p in plan.pieces(number)]
    for p, number in pieces:
      assert 0 <= p.at and p.start < p.stop and p.at + p.stop - p.start <= plan.each
      if split == 'rows':
        assert rows // fsdp * (number // data) <= p.start and p.stop <= rows // fsdp * (number // data + 1)
    ends = [(p.tensor * rows + p.start, p.tensor * rows + p.stop) for p, _ in sorted(pieces)]
    assert ends[0][0] == 0 and ends[-1][1] == n * rows and all(b == a for (_, b), (a, _) in zip(ends, ends[1:])), split


@pytest.mark.parametrize('model, hosts, devices', [
    ('deepseek-v3-base', 128, 4), ('qwen2.5-32b', 16, 4), ('qwen2.5-7b', 1, 8), ('deepseek-v3-base', 512, 4)])
def test_full_models_are_read_in_equal_parts(model, hosts, devices):
  """No host reads a hundredth more than its share of the matrices, by the plan that an import of that size follows; and
  vectors, which all read, are less than two thousandths of a share."""
  config = zoo.get(model)
  ways = math.gcd(hosts * devices, config.dim)
  mesh = jax.sharding.AbstractMesh((hosts * devices // ways, ways, 1, 1), mesh_lib.AXES)
  boxed = params_lib.abstract(zoo.build(config))
  shardings = traverse_util.flatten_dict(mesh_lib.param_shardings(boxed, mesh), sep='/')
  places = {place.path: place for place in table.places(config).values()}
  read, vectors, total = np.zeros(hosts, np.int64), 0, 0
  for path, shape in table.shapes(config).items():
    leaf = reading.Leaf(shape, np.dtype('bfloat16'), {}, places[path])
    lead = math.prod(shape[:leaf.leading])
    if len(table.their_shape(leaf.place)) == 1:
      vectors += math.prod(shape)
      continue
    plan = reading.Plan.of(leaf, shardings[path], reading._together(leaf, hosts))
    total += math.prod(shape)
    for number in range(hosts * devices):
      rows = sum(p.stop - p.start for p in plan.pieces(number))
      read[number // devices] += rows * plan.columns * (lead // plan.n)
  assert read.sum() == total == config.param_count() - vectors
  assert read.max() <= 1.01 * total / hosts and vectors <= 0.002 * total / hosts


def test_a_host_of_128_reads_long_runs():
  """DeepSeek-V3's experts on 128 hosts x 4 devices: of every fourth tensor one run of 512 rows, 3.7 MB of fp8."""
  leaf = reading.Leaf((58, 256, 7168, 2048), np.dtype('bfloat16'), {}, table.Place('', (0, 0), (7168, 2048), None))
  assert reading._together(leaf, 128) == 32
  plan = reading.Plan(32, 2048, 7168, 512, 1, 'columns')
  for host in range(128):
    mine = [p for number in range(4 * host, 4 * host + 4) for p in plan.pieces(number)]
    assert {p.tensor for p in mine} == {host // 4}
    assert {row for p in mine for row in range(p.start, p.stop)} == set(range(host % 4 * 512, host % 4 * 512 + 512))
