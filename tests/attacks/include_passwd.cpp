// Includes a file of the host, so that messages of the compiler or the program show it.
// verdicts: CE
#include "/etc/passwd"
#include "/etc/shadow"
#include "@SECRET_FILE@"

int main() {}
