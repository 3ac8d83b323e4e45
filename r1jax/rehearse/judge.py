"""A judge for a rehearsal: an endpoint on this machine that gives every prompt the first verdict that it offers."""

import contextlib
from http import server
import json
import re
import threading

NAME = 'stand-in'
_OFFERED = re.compile(r'VERDICT: \S+')


class _Handler(server.BaseHTTPRequestHandler):
  """/models and /chat/completions, as much of them as rewards/judge reads."""

  def _reply(self, found: dict) -> None:
    body = json.dumps(found).encode()
    self.send_response(200)
    self.send_header('Content-Type', 'application/json')
    self.send_header('Content-Length', str(len(body)))
    self.end_headers()
    self.wfile.write(body)

  def do_GET(self) -> None:
    self._reply({'data': [{'id': NAME}]})

  def do_POST(self) -> None:
    asked = json.loads(self.rfile.read(int(self.headers['Content-Length'])))['messages'][-1]['content']
    self._reply({'choices': [{'message': {'content': verdict(asked)}}],
                 'usage': {'prompt_tokens': len(asked.split()), 'completion_tokens': 2}})

  def log_message(self, *_) -> None:
    pass


def verdict(asked: str) -> str:
  """'VERDICT: SAME' where a prompt ends with 'VERDICT: SAME or VERDICT: DIFFERENT'; '' where it offers none."""
  offered = _OFFERED.findall(asked.rpartition('End with one line')[2])
  return offered[0] if offered else ''


@contextlib.contextmanager
def serving():
  """The URL of a judge that answers until the block ends."""
  with server.ThreadingHTTPServer(('127.0.0.1', 0), _Handler) as httpd:
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
      yield f'http://127.0.0.1:{httpd.server_address[1]}/v1'
    finally:
      httpd.shutdown()
