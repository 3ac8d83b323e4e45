"""r1jax: DeepSeek-R1 in JAX. Read rl.py first: it is the data-flow diagram."""

__version__ = '0.1.0'
