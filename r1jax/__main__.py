"""python -m r1jax COMMAND ..."""

import sys

from r1jax import cli

if __name__ == '__main__':
  sys.exit(cli.main())
