import sys

from r1jax.serve import main

if __name__ == '__main__':
  sys.exit(main(sys.argv))
