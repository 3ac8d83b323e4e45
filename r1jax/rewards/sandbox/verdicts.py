"""The sandbox's vocabulary."""

import dataclasses
import enum


class Verdict(enum.StrEnum):
  """What came of a test."""
  AC = 'AC'  # accepted
  WA = 'WA'  # wrong answer
  TLE = 'TLE'  # out of time
  MLE = 'MLE'  # out of memory
  OLE = 'OLE'  # too much output, or too much on disk
  RE = 'RE'  # ended with an error
  CE = 'CE'  # does not compile
  IE = 'IE'  # the sandbox failed; says nothing about the program


@dataclasses.dataclass(frozen=True)
class Limits:
  """Of one test, but for the last three. Time on the wall may be three times the CPU's and a second more."""
  seconds: float = 10.0  # of CPU
  memory_bytes: int = 512 << 20  # held by the program and its children
  output_bytes: int = 1 << 20
  disk_bytes: int = 64 << 20
  processes: int = 64  # and threads
  compile_seconds: float = 30.0
  compile_memory_bytes: int = 1 << 30
  total_seconds: float = 120.0  # of all tests of a program, on the wall; those not begun by then are TLE

  @property
  def wall_seconds(self) -> float:
    return 3 * self.seconds + 1


@dataclasses.dataclass(frozen=True)
class Result:
  """One test in full."""
  verdict: Verdict
  seconds: float = 0.0  # of CPU
  detail: str = ''  # one line: the end of what it said on stderr, or why
