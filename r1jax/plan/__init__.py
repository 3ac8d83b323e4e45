"""Does a config fit a topology, can it start there, and what will it cost: its own checks on the topology's devices,
its own programs compiled without the hardware.

  python -m r1jax.plan --config=experiments/NAME.py[:ARG] [--topology=v5p:4x4x4] [--lengths=MEAN[:SIGMA]] [--json]
      [--without-files]

chips.py what a chip can do; places.py where a topology's devices lie; phases.py a config's phases; memory.py what lies
on a device in each, by the compiler (a process a phase); roofline.py FLOPs, bytes and seconds by formula; run.py an RL
stage's whole run by them; fit.py values that fit; every.py all configs in one table; __main__.py the command.
"""
