// Asks for fanotify, which sees all that is opened on a file system.
// verdicts: WA
#include <fcntl.h>
#include <stdio.h>
#include <sys/fanotify.h>

int main() { puts(fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY) >= 0 ? "PWNED" : "refused"); }
