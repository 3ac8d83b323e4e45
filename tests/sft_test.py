"""stages/sft.py: what a batch counts, the gradient of its documents, and going on where it was stopped."""

import json
import logging

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
import numpy as np
import optax
import pytest

from r1jax import metrics
from r1jax import stopping
from r1jax import terminal
from r1jax import values
from r1jax.data import formats
from r1jax.data import token_files
from r1jax.engine import checkpoint
from r1jax.engine import leaves
from r1jax.engine import mesh as mesh_lib
from r1jax.engine import packing
from r1jax.engine import trainings
from r1jax.engine import update
from r1jax.stages import sft
from r1jax.types import RunStopped, UserError
from tokenise_test import made_tokenizer

LENGTH = 40
CONFIG = ConfigDict(dict(seed=0, logit_elements=1 << 20, dtype='float32', remat='none', attention='xla',
                         mesh=dict(data=-1, fsdp=1, tensor=1, expert=1), experts=dict(bias_rate=0.0, balance_loss=0.0),
                         checkpoints=dict(every=3, keep=2, minutes=15.0, grace=5.0)))
# No clipping by norm, so that the gradient can be read off the first moment after one step.
OPTIMIZER = dict(learning_rate=1e-3, warmup=0, decay='cosine', b1=0.9, weight_decay=0.0, clip_norm=1e9)
STAGE = ConfigDict(dict(corpus='jsonl', path='', model='nano', steps=0, epochs=2.0, batch=8, batch_of='documents',
                        micro_tokens=2 * LENGTH, length=LENGTH, log_every=1, optimizer=OPTIMIZER))
TEXTS = [(f'{i} ' * (i % 3), 'abc' * (1 + i * 5 % 11 if i % 19 else 14)) for i in range(45)]


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
  return made_tokenizer(tmp_path_factory.mktemp('tokenizer'))


@pytest.fixture(scope='module')
def documents(tokenizer, tmp_path_factory):
  directory = tmp_path_factory.mktemp('tokens')
  token_files.write_part(str(directory), 0, TEXTS, tokenizer)
  return token_files.Documents(str(directory), [token_files.read_index(str(directory), 0)])


def stage(**changes) -> ConfigDict:
  return ConfigDict({**STAGE.to_dict(), 'steps': 6, **changes})


@pytest.fixture(scope='module')
def by_hand(nano, documents):
  """numbers of documents -> (loss, gradient) of their learned tokens, each document a row of its own, without update.py
  or packing."""
  model, params = nano

  @jax.jit
  @jax.value_and_grad
  def loss(params, tokens, mask):
    logps = jax.nn.log_softmax(model.apply({'params': params}, tokens))
    each = jnp.take_along_axis(logps[:, :-1], tokens[:, 1:, None], axis=2)[..., 0]
    return -jnp.sum(each * mask[:, 1:]) / jnp.sum(mask)

  def of(numbers):
    tokens, mask = np.zeros((2, 8, LENGTH + 1), np.int32)
    for row, i in enumerate(numbers):
      ids, prompt = documents.read([i])[i]
      tokens[row, :len(ids)], mask[row, max(prompt, 1):len(ids)] = ids, 1
    return loss(params, tokens, mask)

  return of


@pytest.mark.parametrize('micro_rows, devices', [(2, 1), (4, 4)])
def test_a_batch_of_documents_has_the_gradient_of_these_documents(nano, documents, by_hand, micro_rows, devices):
  """However many rows they fill, however long those are, and however they are cut up."""
  model, params = nano
  mesh = mesh_lib.create({'data': devices}, jax.devices()[:devices])
  c = stage(micro_tokens=micro_rows * LENGTH)
  training = trainings.sft(CONFIG, c, model, mesh).compile()
  fitting = sft._fitting(documents.totals_N, LENGTH, 'sft')
  units, lengths = fitting[:, None], set()
  for chosen in ([0, 7, 11, 12, 30, 31, 32, 33], [int(documents.totals_N[fitting].argmax())], [5, 5, 6]):
    micro_batches = sft._micro_batches(training, documents, units, np.array(chosen), of_rows=False)
    lengths |= {T for T, _ in micro_batches}
    assert sum(int((rows.positions_BxT == 0).sum()) for _, rows in micro_batches) == len(chosen)
    with mesh_lib.use_mesh(mesh):
      state, means = training.step(training.fresh(jax.tree.map(jnp.copy, params)),
                                   update.put_micro_batches(micro_batches, mesh))
    loss, gradient = by_hand(fitting[chosen])
    moments = next(s for s in jax.tree.leaves(state.opt_state, is_leaf=lambda x: hasattr(x, 'mu')) if hasattr(s, 'mu'))
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(gradient))
    jax.tree.map(lambda m, g: np.testing.assert_allclose(m / 0.1, g, atol=1e-5 * largest, rtol=0), moments.mu, gradient)
    np.testing.assert_allclose(means['loss'], loss, rtol=1e-5)
    np.testing.assert_allclose(means['grad_norm'], optax.global_norm(gradient), rtol=1e-5)
  assert lengths == {32, LENGTH}


def test_a_batch_of_rows_is_what_it_was(nano, documents, tokenizer):
  """The same rows of the same documents, to the bit: packed in memory, cut up as before."""
  model, _ = nano
  training = trainings.sft(CONFIG, stage(batch_of='rows'), model, mesh_lib.create({}, jax.devices()[:1]))
  encoded = [document for document in (formats.encode(tokenizer, *text) for text in TEXTS)
             if sum(map(len, document)) <= LENGTH + 1]
  packed = packing.pack(encoded, length=LENGTH)
  fitting = sft._fitting(documents.totals_N, LENGTH, 'sft')
  assert len(fitting) == len(encoded) < len(TEXTS)
  rows = packing.first_fit(documents.totals_N[fitting] - 1, length=LENGTH)
  chosen = np.array([3, 1, 7, 3])
  before = trainings.cut(training, packing.Packed(*(a[chosen] for a in packed)), [LENGTH] * 4)
  now = sft._micro_batches(training, documents, [fitting[row] for row in rows], chosen, of_rows=True)
  for (t, a), (u, b) in zip(before, now, strict=True):
    assert t == u and all(x.tobytes() == y.tobytes() and x.dtype == y.dtype for x, y in zip(a, b, strict=True))


@pytest.fixture
def trained(tmp_path, tokenizer, one_device):
  """A function that runs the stage in a directory, and gives (facts, rows of metrics, weights)."""
  path = tmp_path / 'data.jsonl'
  path.write_text(''.join(json.dumps({'prompt': p, 'completion': c}) + '\n' for p, c in TEXTS))

  def run(name, **changes):
    config = ConfigDict({**CONFIG.to_dict(), 'sft': stage(**{'path': str(path), 'steps': 0, **changes}).to_dict()})
    facts = sft.run(config, 'sft', str(tmp_path / name), {'tokenizer': tokenizer.directory})
    rows = [json.loads(line) for line in (tmp_path / name / 'metrics.jsonl').read_text().splitlines()]
    return facts, rows, checkpoint.find(str(tmp_path / name))[1]

  return run


def params_of(step_dir):
  import hashlib
  digest = hashlib.sha256()
  leaves.hash_each(step_dir, digest)
  return digest.hexdigest()


def test_steps_follow_from_what_a_batch_counts(trained, caplog, tmp_path):
  with caplog.at_level(logging.INFO, logger='r1jax'):
    of_documents, rows, _ = trained('documents', epochs=1.0)
  fitting = sum(len(p) + len(c) + 1 <= LENGTH + 1 for p, c in TEXTS)
  assert of_documents['documents'] == fitting and of_documents['too_long'] == len(TEXTS) - fitting > 0
  assert of_documents['steps'] == len(rows) == round(fitting / 8)
  assert of_documents['epochs'] == round(8 * len(rows) / fitting, 2)
  assert any('a step of 8 documents fills about' in r.getMessage() for r in caplog.records)
  learned = sum(len(c) + 1 - (not p) for p, c in TEXTS if len(p) + len(c) + 1 <= LENGTH + 1)
  assert of_documents['tokens_learned_an_epoch'] == learned
  of_rows, rows, _ = trained('rows', epochs=1.0, batch_of='rows')
  assert of_rows['steps'] == len(rows) == round(of_rows['rows'] / 8) < of_documents['steps']
  assert of_rows['tokens_learned_an_epoch'] == learned and of_rows['rows'] == of_documents['rows']
  assert not (tmp_path / 'rows/tokens').exists()  # 15 GB at full size, of a stage that is finished


def stopped_at_step_4(monkeypatch, train):
  """train(), which is asked to stop while the fourth minibatch is put on the devices, and does."""
  put, calls = update.put_micro_batches, []

  def stopped(micro_batches, mesh):
    calls.append(1)
    if len(calls) == 4:
      stopping.requested.set()
    return put(micro_batches, mesh)

  monkeypatch.setattr(update, 'put_micro_batches', stopped)
  try:
    with pytest.raises(stopping.Stopped, match='at step 4'):
      train()
  finally:
    stopping.requested.clear()


def test_a_run_that_was_stopped_goes_on_with_the_same_batches(trained, monkeypatch):
  """To the bit, documents as batch; nothing is tokenised twice."""
  _, rows, whole = trained('whole')
  stopped_at_step_4(monkeypatch, lambda: trained('parts'))
  monkeypatch.setattr(token_files, 'write_part', None)
  _, again, parts = trained('parts')
  assert [row['loss'] for row in again] == [row['loss'] for row in rows] and len(rows) > 8
  assert params_of(parts) == params_of(whole)


def test_no_document_and_none_that_fits(trained, tmp_path):
  with pytest.raises(UserError, match=f'all {len(TEXTS)} documents are longer than sft.length=2 tokens: raise it'):
    trained('long', length=2, micro_tokens=4)
  (tmp_path / 'data.jsonl').write_text('')
  with pytest.raises(UserError, match='no documents to pack: the data set is empty'):
    trained('empty')


def test_an_unknown_count_is_an_error_before_anything_runs():
  config = ConfigDict({**CONFIG.to_dict(), 'sft': stage(batch_of='samples').to_dict(),
                       'stages': (dict(name='sft', run='sft', inputs={}),)})
  with pytest.raises(UserError, match="sft.batch_of='samples' is not one of documents, rows"):
    values.check(config)


@pytest.mark.parametrize('log_every', [1, 2, 3, 7, 100])
@pytest.mark.parametrize('bad, stopped', [((2, 3, 4), None), ((2, 3, 4, 5), 5), ((2, 3, 5, 6, 7, 8), 8)])
def test_skipped_updates_in_a_row_stop_a_run_however_often_it_logs(tmp_path, log_every, bad, stopped):
  """More than three in a row; what was skipped since the row before stands in a row of metrics."""
  rows = packing.pack([([1], [2, 3])], length=LENGTH)
  with metrics.Writer(tmp_path, 'sft', tensorboard=False) as writer:
    log_ = sft._Log(writer, terminal.Progress(10, 'sft', None), 0, 3)

    def train():
      for step in range(1, 11):
        means = {'update/skipped': float(step in bad), 'loss': float('nan') if step in bad else 1.0, 'grad_norm': 1.0}
        log_.count(step, means, [rows])
        if step % log_every == 0 or step == 10:
          log_.note(step, means, [rows])
        if step in (4, 10) or step % log_every == 1:  # a checkpoint, or a step after a row
          log_.flush()

    if stopped:
      with pytest.raises(RunStopped, match=rf'4 in a row; the last one learned from .*bad_minibatch_{stopped}\.npz'):
        train()
      with np.load(tmp_path / f'bad_minibatch_{stopped}.npz') as kept:
        np.testing.assert_array_equal(kept['0/tokens_BxT'], rows.tokens_BxT)
    else:
      train()
      assert sum(row['update/skipped'] for row in metrics.read(writer.path)) == len(bad)
