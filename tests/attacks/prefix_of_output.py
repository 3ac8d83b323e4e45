# Prints a part of the right output and hopes that the comparison stops where the shorter one ends.
# verdicts: WA
print('PWNE', end='')
