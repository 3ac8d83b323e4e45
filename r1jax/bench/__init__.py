"""Tool: what a step costs, each program in a process of its own. Sizes are in experiments/bench.py.

  __main__      the command: inputs, then one process after the other, then a table
  inputs        weights and prompts on disk, the same for every program
  workload      a workload as stages/policy.py reads it
  ours          rows of r1jax: rollout, reference, update; and the static way of W3
  limits        products, memory and choosing by themselves: what the machine could do
  environments, peers/    TRL and tunix, in environments that the command makes
  table         rows -> text and ratios
"""
