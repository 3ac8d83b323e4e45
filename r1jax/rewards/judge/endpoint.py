"""Prompts -> replies of a model behind an OpenAI-compatible endpoint: POST URL/chat/completions, temperature 0."""

import datetime
import email.utils
import hashlib
import http.client
import json
import logging
import queue
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from r1jax.exceptions import InputError, UserError
from r1jax.rewards.judge.answers import Answers

log = logging.getLogger('r1jax')

KEY = 'R1JAX_JUDGE_KEY'  # the variable with the endpoint's key
MOST_WAIT = 900.0  # seconds that a Retry-After may ask for
_MOST_BYTES = 1 << 24  # of a reply
_AGAIN = (408, 409, 425, 429)  # beside 500 and more: asked once more
_HINTS = {400: 'it does not take what it is asked', 401: f'set ${KEY}', 403: f'set ${KEY}',
          404: 'judge.url wants to end as in http://HOST:8000/v1, and judge.model to be the name of a model there'}
_TOO_LONG = ('context_length_exceeded', 'maximum context length')


class _Over(Exception):
  """Another thread has failed: nothing is asked any more."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
  """A POST that is sent elsewhere becomes a GET there, and takes the key along."""

  def redirect_request(self, *args):
    return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def check(url: str, model: str) -> str:
  """The URL without its end. UserError: it is none, or no model is named."""
  try:
    parts = urllib.parse.urlsplit(url)
    good = parts.scheme in ('http', 'https') and parts.hostname and parts.port != 0
  except ValueError:  # a port or an IPv6 address that is none
    good = False
  if not good or any(c.isspace() for c in url):
    raise UserError(f'judge.url={url!r} is no address, as http://localhost:8000/v1')
  if not model:
    raise UserError(f'judge.url={url} needs judge.model, the name of the model that is asked there')
  return url.rstrip('/').removesuffix('/chat/completions')


class Endpoint:
  """prompts -> replies, several under way at a time.

  Asked again are 408, 409, 425, 429, 500 and more, time-outs, cut connections and bodies that are no completion, after
  `wait` seconds and each time four times as long, or as long as Retry-After says: a server that is asked too much or
  starts anew is back in a minute or two. Any other refusal is an error at once, but for a prompt that is longer than
  its model reads: that has the reply ''.
  """

  def __init__(self, url: str, model: str, *, key: str = '', max_tokens: int = 2048, timeout: float = 120.0,
               tries: int = 5, wait: float = 1.0, parallel: int = 16, answers: Answers | None = None, stop=None):
    """timeout: seconds of a call. tries: of one prompt, in a row. stop: called now and then while replies are waited
    for; it raises where the run is to end.

    Raises:
      UserError: no address, no model, a key that no header can hold.
    """
    self._url, self._model, self._key = check(url, model), model, key.strip()
    if not self._key.isascii() or not self._key.isprintable():
      raise UserError(f'${KEY} holds characters that no header can')
    self._settings = {'temperature': 0, 'max_tokens': max_tokens}
    self._timeout, self._tries, self._wait, self._parallel = timeout, tries, wait, parallel
    self._stop, self._not_before, self._guessed = stop or (lambda: None), 0.0, False
    self.answers = answers or Answers()

  def __call__(self, prompts: list[str]) -> list[str]:
    """The reply to each; equal ones are asked once, and what the answers on disk have is not asked.

    Raises:
      UserError: it cannot be reached or answers with something else, `tries` times in a row; it refuses.
      RunStopped: a limit of the cost is reached.
    """
    self.answers.refresh()
    found = {prompt: self.answers.get(self.digest(prompt)) for prompt in dict.fromkeys(prompts)}
    wanted = [prompt for prompt, reply in found.items() if reply is None]
    # The first one alone: where the server is down, or refuses, nothing else is sent.
    for some in (wanted[:1], wanted[1:]):
      found.update(self._together(some))
    return [found[prompt] for prompt in prompts]

  def digest(self, prompt: str) -> str:
    """What a reply depends on: the model's name, the prompt, the settings; not where the model runs."""
    return hashlib.sha256(json.dumps([self._body(prompt)], sort_keys=True).encode()).hexdigest()

  def _body(self, prompt: str) -> dict:
    text = prompt.encode('utf-8', 'replace').decode()  # a lone surrogate is no JSON for many servers
    return {'model': self._model, 'messages': [{'role': 'user', 'content': text}], **self._settings}

  def _together(self, prompts: list[str]) -> dict[str, str]:
    waiting, replies, failed, over = queue.SimpleQueue(), {}, [], threading.Event()
    for prompt in prompts:
      waiting.put(prompt)

    def work():
      while not over.is_set():
        try:
          prompt = waiting.get_nowait()
          replies[prompt] = self._ask(prompt, over)
        except (queue.Empty, _Over):
          return
        except BaseException as e:  # pylint: disable=broad-exception-caught  it is raised below
          failed.append(e)
          over.set()

    # Daemons: a run that stops does not wait for a server.
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(self._parallel, len(prompts)))]
    for thread in threads:
      thread.start()
    try:
      for thread in threads:
        while thread.is_alive() and not failed:
          thread.join(0.2)
          self._stop()
    finally:
      over.set()
    if failed:
      self.answers.wait(self._timeout)  # what is under way is paid for: it is kept
      raise failed[0]
    return replies

  def _ask(self, prompt: str, over: threading.Event) -> str:
    failure, delay = None, 0.0
    for tried in range(self._tries):
      if tried:
        time.sleep(max(delay, self._wait * 4**(tried - 1)))
      if (pause := self._not_before - time.monotonic()) > 0:
        time.sleep(pause)
      if over.is_set():
        raise _Over
      delay = 0.0
      self.answers.begin()
      try:
        return self._call(prompt)
      except urllib.error.HTTPError as e:
        failure, reason = e, _reason(e)
        if e.code not in _AGAIN and e.code < 500:
          if e.code in (400, 413) and any(text in reason for text in _TOO_LONG):
            return ''
          raise UserError(f'the judge at {self._url} refuses, {e.code}: {reason} ({_HINTS.get(e.code, e.msg)})') from e
        delay = self._asked_to_wait(e)
      except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError) as e:
        failure = e
      finally:
        self.answers.end()
    said = f'{type(failure).__name__}: {" ".join(str(failure).split())[:120]}'
    raise UserError(f'the judge at {self._url} does not answer ({said}): start it, or leave judge.kind empty for '
                    'rule-checked data only') from failure

  def _call(self, prompt: str) -> str:
    """One request. What was answered counts, readable or not."""
    said = self._open('chat/completions', json.dumps(self._body(prompt)).encode())
    try:
      found = json.loads(said)
      reply = found['choices'][0]['message']['content'] or ''
      if not isinstance(reply, str):
        raise TypeError(f'content is {type(reply).__name__}')
    except (ValueError, LookupError, TypeError, AttributeError):
      self.answers.add(self.digest(prompt), None, 0)
      raise
    self.answers.add(self.digest(prompt), reply, self._tokens(found, prompt, reply))
    return reply

  def _open(self, path: str, body: bytes | None, timeout: float = 0.0) -> bytes:
    """The whole reply, within the time of a call: a server that sends a byte now and then is none."""
    headers = {'Content-Type': 'application/json', **({'Authorization': f'Bearer {self._key}'} if self._key else {})}
    timeout = timeout or self._timeout
    ends, said = time.monotonic() + timeout, b''
    with _OPENER.open(urllib.request.Request(f'{self._url}/{path}', body, headers), timeout=timeout) as reply:
      while part := reply.read1(1 << 16):
        said += part
        if time.monotonic() > ends or len(said) > _MOST_BYTES:
          raise TimeoutError(f'a reply of more than {timeout:g} s or {_MOST_BYTES} bytes')
    return said

  def _tokens(self, found: dict, prompt: str, reply: str) -> int:
    usage = found.get('usage')
    usage = usage if isinstance(usage, dict) else {}
    counts = [usage.get('prompt_tokens'), usage.get('completion_tokens')]
    if all(isinstance(count, int) for count in counts):
      return sum(counts)
    if not self._guessed:
      self._guessed = True
      log.warning('the judge at %s does not say what its replies cost: a token is counted for every 4 characters',
                  self._url)
    return (len(prompt) + len(reply)) // 4

  def _asked_to_wait(self, e: urllib.error.HTTPError) -> float:
    """Seconds of Retry-After, for all threads; UserError: longer than is waited."""
    said = (e.headers.get('Retry-After') or '').strip()
    try:
      seconds = float(said) if said[:1].isdigit() else (
          email.utils.parsedate_to_datetime(said) - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    except (ValueError, TypeError):  # none, or neither seconds nor a date
      return 0.0
    if not seconds <= MOST_WAIT:
      raise UserError(f'the judge at {self._url} asks to wait for {seconds:.0f} s ({e.code}): start the same command '
                      'again then, what was judged is kept') from e
    self._not_before = max(self._not_before, time.monotonic() + seconds)
    return max(0.0, seconds)

  def look(self) -> None:
    """Whether somebody is there, before anything expensive; a server that lists its models must have this one.

    Raises:
      InputError: nobody is, the key is refused, another model is served.
    """
    try:
      listed = json.loads(self._open('models', None, timeout=10.0))['data']
      names = [each['id'] for each in listed]
    except urllib.error.HTTPError as e:
      if e.code in (401, 403):
        raise InputError(f'the judge at {self._url} refuses, {e.code}: {_reason(e)} ({_HINTS[e.code]})') from e
      return  # it is there, and lists nothing
    except (OSError, http.client.HTTPException) as e:
      reason = getattr(e, 'reason', e)
      raise InputError(f'nobody answers at judge.url={self._url} ({str(reason)[:120]}): start the judge first, as by '
                       'r1jax serve') from e
    except (ValueError, LookupError, TypeError):
      return
    if names and self._model not in names:
      raise InputError(f'the judge at {self._url} has no model {self._model!r}, but {", ".join(map(repr, names[:5]))}: '
                       'name one by judge.model')


def _reason(e: urllib.error.HTTPError) -> str:
  """What the body of a refusal says, on one line."""
  try:
    text = e.read(1 << 16).decode('utf-8', 'replace')
  except (OSError, http.client.HTTPException, ValueError):
    return e.msg
  try:
    error = json.loads(text)['error']
    text = f'{error.get("code") or ""} {error["message"]}' if isinstance(error, dict) else str(error)
  except (ValueError, LookupError, TypeError, AttributeError):
    pass
  return ' '.join(text.split())[:200] or e.msg
