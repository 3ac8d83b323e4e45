# Prints nothing and ends well.
# verdicts: WA
