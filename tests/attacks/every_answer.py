# Prints many answers, the right one among them.
# verdicts: WA
for answer in ('refused', 'PWNED', 'PWNED refused', '', 'AC', '\0PWNED', 'PWNED\0'):
  print(answer)
