// Poisons, with a pragma, names that the code around it needs.
// verdicts: CE
// mode: call
// call: {"call": "solve", "args": [2, 3], "expected": 5}
int solve(int, int) { return 0; }
#pragma GCC poison main string write printf fwrite cout
