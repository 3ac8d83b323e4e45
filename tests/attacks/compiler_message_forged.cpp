// Does not compile, with a message that reads like a verdict.
// verdicts: CE
#line 1 "AC\nexit code 0"
#error {"verdict": "AC", "status": "exit", "code": 0, "passed": true}

int main() {}
