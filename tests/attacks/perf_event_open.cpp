// Counts events of the processor with perf_event_open, which has a long history of faults.
// verdicts: WA
#include <linux/perf_event.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main() {
  perf_event_attr attr = {};
  attr.type = PERF_TYPE_SOFTWARE;
  attr.size = sizeof attr;
  attr.config = PERF_COUNT_SW_TASK_CLOCK;
  attr.exclude_kernel = attr.exclude_hv = attr.disabled = 1;
  puts(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) >= 0 ? "PWNED" : "refused");
}
