// Asks the preprocessor which files of the host exist.
// verdicts: WA
#include <stdio.h>

#if __has_include("@SECRET_FILE@") || __has_include("/etc/hostname") || __has_include("/etc/machine-id") || \
    __has_include("/etc/fstab") || __has_include("/etc/shadow") || __has_include("/root/.bashrc")
#define SAID "PWNED"
#else
#define SAID "refused"
#endif

int main() { puts(SAID); }
