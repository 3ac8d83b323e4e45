"""A pod run rehearsed on this machine: a config's own stages, in order, in as many processes as hosts, each with
fake CPU devices; a nano model of the same family, a few rows of made data, two steps a stage.

  python -m r1jax.rehearse --config=experiments/NAME.py[:ARG]
"""

DID = 'did'  # a directory beside the run: what each host did, a file a stage and host
