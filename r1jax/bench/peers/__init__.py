"""Scripts for a peer's own environment, where r1jax is not: python -P PEER.py SPEC.json prints a row as JSON."""
