"""The experiments, as files that --config takes: `r1jax configs` lists them. Shipped as r1jax.experiments."""
