# Recurses without end, with the limit of the interpreter lifted and a large stack.
# verdicts: RE MLE TLE
import sys
import threading

sys.setrecursionlimit(1 << 30)
threading.stack_size(512 << 20)


def deeper(n):
  return len(sorted([n], key=lambda _: deeper(n + 1)))  # through C, whose stack Python does not count


thread = threading.Thread(target=deeper, args=(0,))
thread.start()
thread.join()
sys.exit(1)
