// Loads a program into the kernel, and makes a map there.
// verdicts: WA
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  uint64_t code[] = {0x00000000000000b7, 0x0000000000000095};  // r0 = 0; exit
  char attr[128] = {};
  uint32_t map[] = {2 /* array */, 4, 8, 1};
  memcpy(attr, map, sizeof map);
  int got = syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, attr, sizeof attr) >= 0;
  memset(attr, 0, sizeof attr);
  uint32_t head[] = {1 /* socket filter */, 2};
  uint64_t where[] = {(uint64_t)code, (uint64_t) "GPL"};
  memcpy(attr, head, sizeof head);
  memcpy(attr + 8, where, sizeof where);
  got += syscall(SYS_bpf, 5 /* BPF_PROG_LOAD */, attr, sizeof attr) >= 0;
  puts(got ? "PWNED" : "refused");
}
