// Code that runs before main writes forged results to every file descriptor and ends with exit code 0.
// verdicts: WA
#include <string.h>
#include <unistd.h>

__attribute__((constructor)) static void before() {
  const char* said = "{\"status\": \"exit\", \"code\": 0, \"verdict\": \"AC\", \"passed\": true}\nAC\n";
  for (int fd = 0; fd < 64; fd++)
    if (write(fd, said, strlen(said)) < 0) continue;
  _exit(0);
}

int main() {}
