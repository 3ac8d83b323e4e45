"""A headless Chromium for tests of pages, spoken to over its pipe (--remote-debugging-pipe): no driver, no port.

`Page(path)` opens a file; `evaluate` runs JavaScript in it and waits for a promise; what the page throws or asks a
dialogue for is collected in `errors`.
"""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import pathlib
import select
import shutil
import subprocess
import time

PATH = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)


class Page(contextlib.ExitStack):
  """One tab at width x height pixels, light or dark."""

  def __init__(self, profile: pathlib.Path, *, width: int = 1400, height: int = 900, dark: bool = False):
    super().__init__()
    self.errors, self._ids, self._read = [], itertools.count(1), b''
    theirs_in, self._out = os.pipe()
    self._in, theirs_out = os.pipe()

    def fds():  # the browser reads from 3 and writes to 4; either may be taken by now
      a, b = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out))
      os.dup2(a, 3)
      os.dup2(b, 4)

    self._process = subprocess.Popen(
        [PATH, '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
         '--remote-debugging-pipe', f'--user-data-dir={profile}', '--hide-scrollbars', 'about:blank'],
        preexec_fn=fds, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(theirs_in)
    os.close(theirs_out)
    self.callback(self._end)
    self._session = None
    try:
      target = self.send('Target.createTarget', url='about:blank')['targetId']
      self._session = self.send('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
      for domain in ('Page', 'Runtime', 'Network'):
        self.send(f'{domain}.enable')
      self.look(width, height, dark)
    except BaseException:
      self.close()
      raise

  def look(self, width: int, height: int = 900, dark: bool = False) -> None:
    self.send('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
    self.send('Emulation.setEmulatedMedia', features=[
        {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])

  def open(self, path: pathlib.Path, hash_: str = '') -> None:
    self.send('Page.navigate', url='about:blank')
    self.send('Page.navigate', url=path.resolve().as_uri() + hash_)
    self.until("document.readyState === 'complete' && location.protocol === 'file:'")

  def evaluate(self, script: str):
    """The value of an expression, of a promise what it resolves to. Raises AssertionError for what it throws."""
    found = self.send('Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True)
    if 'exceptionDetails' in found:
      raise AssertionError(found['exceptionDetails'])
    return found['result'].get('value')

  def until(self, condition: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not self.evaluate(f'Boolean({condition})'):
      assert time.monotonic() < end, f'not within {seconds} s: {condition}'
      time.sleep(0.02)

  def picture(self, path: pathlib.Path) -> None:
    path.write_bytes(base64.b64decode(self.send('Page.captureScreenshot', format='png')['data']))

  def send(self, method: str, **values) -> dict:
    number = next(self._ids)
    message = {'id': number, 'method': method, 'params': values}
    if self._session and not method.startswith('Target.'):
      message['sessionId'] = self._session
    os.write(self._out, json.dumps(message).encode() + b'\0')
    end = time.monotonic() + 120
    while True:
      assert time.monotonic() < end, f'{method} was not answered'
      for answer in self._answers():
        if answer.get('method') in ('Runtime.exceptionThrown', 'Page.javascriptDialogOpening'):
          self.errors.append(answer['params'])
        elif answer.get('method') == 'Network.requestWillBeSent':
          url = answer['params']['request']['url']
          if not url.startswith(('file:', 'about:', 'data:', 'blob:')):
            self.errors.append({'asked the network for': url})
        if answer.get('id') == number:
          assert 'error' not in answer, answer
          return answer['result']

  def _answers(self) -> list[dict]:
    ready, _, _ = select.select([self._in], [], [], 1)
    if not ready:
      assert self._process.poll() is None, 'the browser has ended'
      return []
    self._read += os.read(self._in, 1 << 20)
    *whole, self._read = self._read.split(b'\0')
    return [json.loads(each) for each in whole if each]

  def memory(self) -> int:
    """Bytes that the page's scripts keep, garbage apart."""
    self.send('HeapProfiler.collectGarbage')
    return int(self.send('Runtime.getHeapUsage')['usedSize'])

  def _end(self) -> None:
    self._process.terminate()
    try:
      self._process.wait(10)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    os.close(self._in)
    os.close(self._out)
