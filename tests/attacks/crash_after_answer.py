# Prints the answer and then crashes: the end of a program is part of its result.
# verdicts: RE
import os

os.write(1, b'PWNED\n')
os.abort()
