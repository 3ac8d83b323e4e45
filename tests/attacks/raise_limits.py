# Lifts the resource limits that it was given.
# verdicts: WA
import resource

got = False
for which in (resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_CORE):
  hard = resource.getrlimit(which)[1]
  higher = resource.RLIM_INFINITY if hard < 0 else hard + 1
  try:
    resource.setrlimit(which, (higher, higher))
    got = True
  except (OSError, ValueError):
    pass
print('PWNED' if got else 'refused')
