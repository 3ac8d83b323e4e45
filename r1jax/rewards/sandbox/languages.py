"""Languages that programs come in: how each is compiled and run, and what must be installed for it."""

import functools
import os
import re
import shutil
import subprocess
from typing import NamedTuple

from r1jax.exceptions import UserError
from r1jax.rewards.sandbox import drivers


class Language(NamedTuple):
  """One row. Paths are those in the box: sources in /tmp, what was compiled in /prog."""
  source: str  # name of the file
  compile: tuple[str, ...]  # command that leaves its results in /tmp; (): nothing to compile
  collect: tuple[str, ...]  # ends of the names of what is kept of them
  run: tuple[str, ...]
  needs: tuple[str, ...]  # programs that must be there
  packages: str  # Debian's, for the one who lacks them
  address_space: bool = True  # whether RLIMIT_AS holds; runtimes that reserve much cannot start under it
  aliases: tuple[str, ...] = ()
  etc: tuple[str, ...] = ()  # what its runtime reads of /etc
  managed: bool = False  # the filter of system calls that its runtime needs


_CXX = ('/usr/bin/g++', '-std=c++20', '-O2', '-pipe', '-w', '-fmax-errors=3', '-static', '-I/header',
        '-o', '/tmp/prog', '/tmp/main.cpp')

# Of /etc a program gets what its runtime looks up, and nothing that names this machine or its users; Python and a
# program of C++, linked whole, need none of it, and each mount less is a box that starts sooner.
ETC = ('/etc/alternatives', '/etc/ld.so.cache')
_JAVA = (*ETC, *(f'/etc/java-{n}-openjdk' for n in (11, 17, 21, 25)))

LANGUAGES = {
    # Runs in the supervisor's own interpreter (inside.py), so nothing is started and nothing must be installed.
    'python': Language('solution.py', (), (), (), (), 'python3', aliases=('py', 'pypy')),
    'cpp': Language('main.cpp', _CXX, ('prog',), ('/prog/prog',), ('g++',), 'g++',
                    aliases=('c++', 'cc', 'g++', 'cxx'), etc=ETC),
    'java': Language(
        'Main.java', ('/usr/bin/javac', '-nowarn', '-d', '/tmp', '/tmp/Main.java'), ('.class',),
        ('/usr/bin/java', '-Xss64m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', '/prog', 'Main'),
        ('java', 'javac'), 'default-jdk-headless', address_space=False, etc=_JAVA, managed=True),
    'javascript': Language('main.js', (), (), ('/usr/bin/node', '--stack-size=16000', '/tmp/main.js'), ('node',),
                           'nodejs', address_space=False, aliases=('js', 'node', 'nodejs'), etc=ETC),
    'typescript': Language(
        'main.ts', ('{tsc}', '--outDir', '/tmp', '--target', 'es2020', '--module', 'commonjs', '--skipLibCheck',
                    '/tmp/main.ts'),
        ('.js',), ('/usr/bin/node', '--stack-size=16000', '/prog/main.js'), ('node', 'tsc'),
        'nodejs, and npm install -g typescript', address_space=False, aliases=('ts',), etc=ETC),
    'csharp': Language('main.cs', ('/usr/bin/mcs', '-out:/tmp/main.exe', '/tmp/main.cs'), ('main.exe',),
                       ('/usr/bin/mono', '/prog/main.exe'), ('mcs', 'mono'), 'mono-mcs mono-runtime',
                       address_space=False, aliases=('c#', 'cs'), etc=('/etc/mono', *ETC), managed=True),
    'php': Language('main.php', (), (), ('/usr/bin/php', '/tmp/main.php'), ('php',), 'php-cli', aliases=(),
                    etc=ETC),
    'bash': Language('main.sh', (), (), ('/bin/bash', '/tmp/main.sh'), ('bash',), 'bash', aliases=('sh', 'shell'),
                     etc=ETC),
}


def find(name: str) -> str:
  """The canonical name of a language.

  Raises:
    UserError: there is no such language.
  """
  lower = re.sub(r'[\s{}.]', '', str(name).lower()).removeprefix('gnu')
  for key in (lower, lower.rstrip('0123456789')):  # python3.11, C++17, {.python}, GNU C++20 (64)
    for canonical, language in LANGUAGES.items():
      if key == canonical or key in language.aliases:
        return canonical
  raise UserError(f'no language {name!r}: one of {", ".join(LANGUAGES)}')


def require(name: str) -> Language:
  """The language, if its toolchain is here: a program must not score 0 because nothing could run it.

  Raises:
    UserError: it is not, with what to install.
  """
  language = LANGUAGES[find(name)]
  missing = [program for program in language.needs if not shutil.which(program)]
  if missing:
    raise UserError(f'programs in {find(name)} cannot be run here: no {" and no ".join(missing)}; '
                    f'install {language.packages}')
  return language


@functools.lru_cache(maxsize=None)
def version(name: str) -> str:
  """What a cached program depends on beside its source."""
  language = require(name)
  if not language.compile:
    return ''
  program = language.compile[0]
  tool = shutil.which('tsc') if program == '{tsc}' else program
  flag = '--version' if 'java' not in tool else '-version'
  said = subprocess.run([tool, flag], capture_output=True, text=True, check=False)
  return f'{tool} {said.stdout}{said.stderr}'


def callable_source(name: str, code: str, call: str) -> str:
  """`code` with a main program that calls `call` with arguments from standard input (tests of the form 'call').

  Raises:
    UserError: a language whose functions cannot be called.
  """
  name = find(name)
  if name == 'python':
    return code  # inside.py calls it
  if name == 'cpp':
    return drivers.cpp(code, call)
  raise UserError(f"tests of the form 'call' are for python and cpp, not {name}: give 'stdin' and 'stdout'")


def real(program: str) -> str:
  return os.path.realpath(shutil.which(program) or program)
