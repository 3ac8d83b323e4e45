"""Does a config fit a topology, and what will it cost: its own programs, compiled without the hardware.

  python -m r1jax.plan --config=experiments/NAME.py[:ARG] [--topology=v5p:4x4x4] [--json]

chips.py what a chip can do; phases.py a phase compiled (one process each); roofline.py FLOPs, bytes and seconds by
formula; __main__.py the command.
"""
