"""The ASGI side: routes, bodies, answers whole or as server-sent events, who may ask."""

import asyncio
import contextlib
import hmac
import json
import time
import uuid

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import r1jax
from r1jax.serve import protocol
from r1jax.serve import text as text_lib
from r1jax.serve.asked import Asked
from r1jax.serve.protocol import Refused
from r1jax.serve.service import Delta, Job, Service

_LONG = 1 << 14  # bytes of a body that is read and tokenised off the event loop
_READ = 16  # times the limit: so much of a body is read away, as many clients hear of no answer while they still send
_GONE = 499  # a client that has hung up hears nothing; the status is for the metrics


def _json(content: dict, status: int = 200, headers: dict | None = None) -> Response:
  return Response(json.dumps(content), status, headers, 'application/json')


def _refusal(e: Refused) -> Response:
  headers = {'retry-after': str(e.retry_after)} if e.retry_after else {}
  if e.status == 401:
    headers['www-authenticate'] = 'Bearer'
  return _json(e.body(), e.status, headers)


class _Stream(StreamingResponse):
  """Events of a job, which is given up when they end, however they end: also where none was ever sent."""

  def __init__(self, events, release):
    super().__init__(events, media_type='text/event-stream', headers={'cache-control': 'no-cache'})
    self._release = release

  async def __call__(self, scope, receive, send):
    try:
      await super().__call__(scope, receive, send)
    finally:
      self._release()


class App:
  """OpenAI's endpoints over a service."""

  def __init__(self, service: Service, asked: Asked, *, name: str, key: str = '', max_body: int = 1 << 20):
    """
    Args:
      name: of the model, in /v1/models and in requests.
      key: that requests must bring; '': none.
      max_body: bytes of a request's body.
    """
    self._service, self._asked, self._name, self._key, self._max_body = service, asked, name, key.encode(), max_body
    self._created, self._pieces = int(time.time()), text_lib.Pieces(asked.tokenizer)
    get = lambda path, f: Route(path, f, methods=['GET'])
    self.starlette = Starlette(
        routes=[get('/health', self._health), get('/metrics', self._metrics), get('/openapi.json', self._openapi),
                get('/v1/models', self._models), get('/v1/models/{name:path}', self._model),
                Route('/v1/chat/completions', self._chat, methods=['POST']),
                Route('/v1/completions', self._completions, methods=['POST'])],
        exception_handlers={Refused: lambda _, e: _refusal(e), HTTPException: self._http_error,
                            Exception: lambda *_: _refusal(Refused(500, 'a fault of the server: see its log'))})
    self._paths = {route.path for route in self.starlette.routes}

  async def __call__(self, scope, receive, send):
    """Counts and times a request, and asks for the key."""
    if scope['type'] != 'http':
      return await self.starlette(scope, receive, send)
    begun, status = time.perf_counter(), _GONE

    async def watched(message):
      nonlocal status
      if message['type'] == 'http.response.start':
        status = message['status']
      await send(message)

    path = scope['path'] if scope['path'] in self._paths else '/v1/models' if scope['path'].startswith(
        '/v1/models/') else 'other'
    try:
      if self._may_ask(scope):
        await self.starlette(scope, receive, watched)
      else:
        await _refusal(Refused(401, 'no such key: send "Authorization: Bearer KEY", the key that the server was '
                               'started with', code='invalid_api_key'))(scope, receive, watched)
    finally:
      self._service.metrics.requests.labels(path, str(status)).inc()
      self._service.metrics.seconds.labels(path).observe(time.perf_counter() - begun)

  def _may_ask(self, scope) -> bool:
    if not self._key or scope['path'] == '/health':
      return True
    given = dict(scope['headers']).get(b'authorization', b'')
    kind, _, key = given.partition(b' ')
    return kind.lower() == b'bearer' and hmac.compare_digest(key.strip(), self._key)

  # --- what is asked with GET

  async def _health(self, _) -> Response:
    service = self._service
    said = 'failed' if service.died is not None else 'stopping' if service.stopping else 'ok'
    return _json({'status': said, 'model': self._name}, 200 if said == 'ok' else 503)

  async def _metrics(self, _) -> Response:
    page, kind = self._service.metrics.text()
    return Response(page, media_type=kind)

  async def _openapi(self, _) -> Response:
    return _json(protocol.openapi(r1jax.__version__))

  def _card(self) -> dict:
    return {'id': self._name, 'object': 'model', 'created': self._created, 'owned_by': 'r1jax',
            'max_model_len': self._asked.length}

  async def _models(self, _) -> Response:
    return _json({'object': 'list', 'data': [self._card()]})

  async def _model(self, request: Request) -> Response:
    self._check_name(request.path_params['name'])
    return _json(self._card())

  def _check_name(self, name: str | None) -> None:
    if name not in (None, self._name):
      raise Refused(404, f'no model {name!r} here, but {self._name!r}', param='model', code='model_not_found')

  def _http_error(self, _, e: HTTPException) -> Response:
    return _json(Refused(e.status_code, e.detail).body(), e.status_code, dict(e.headers or {}))

  # --- what is asked with POST

  async def _body(self, request: Request) -> bytes:
    length = request.headers.get('content-length', '')
    read, body = 0, bytearray()
    most = _READ * self._max_body
    if not (length.isdigit() and int(length) > most):
      async for part in request.stream():
        read += len(part)
        if read <= self._max_body:
          body += part
        elif read > most:
          break
      if read <= self._max_body:
        return bytes(body)
    raise Refused(413, f'the body has more than {self._max_body} bytes, the limit of this server',
                  code='body_too_large')

  async def _chat(self, request: Request) -> Response:
    return await self._answer(request, chat=True)

  async def _completions(self, request: Request) -> Response:
    return await self._answer(request, chat=False)

  async def _answer(self, request: Request, chat: bool) -> Response:
    try:
      body = await self._body(request)
    except ClientDisconnect:
      return Response(status_code=_GONE)
    if len(body) > _LONG:
      wish, prompts = await anyio.to_thread.run_sync(self._read, body, chat)
    else:
      wish, prompts = self._read(body, chat)
    limits = [self._asked.limit(prompt, wish.max_tokens, 'max_tokens') for prompt in prompts]
    job = self._service.submit(
        prompts, n=wish.n, limits=limits, seed=wish.seed, temperature=wish.temperature, top_p=wish.top_p,
        heard=wish.top is not None, soon=wish.stream, text=lambda: self._asked.text(wish.stop, chat_turn=chat))
    writer = _Writer(self._name, wish, job, self._pieces)
    if wish.stream:
      return _Stream(writer.events(), lambda: self._service.release(job))
    return await self._whole(request, job, writer)

  def _read(self, body: bytes, chat: bool) -> tuple[protocol.Wish, list]:
    wish = protocol.parse(protocol.loads(body), chat=chat)
    self._check_name(wish.model)
    if chat:
      return wish, [self._asked.chat_prompt(wish.messages)]
    return wish, [self._asked.prompt(prompt) for prompt in wish.prompts]

  async def _whole(self, request: Request, job: Job, writer: '_Writer') -> Response:
    """The answer when all of it is there; a client that hangs up before gives its rows back."""
    async def gone():
      while (await request.receive())['type'] != 'http.disconnect':
        pass

    answer, hung_up = asyncio.ensure_future(writer.whole()), asyncio.ensure_future(gone())
    try:
      await asyncio.wait((answer, hung_up), return_when=asyncio.FIRST_COMPLETED)
      return _json(answer.result()) if answer.done() else Response(status_code=_GONE)
    finally:
      self._service.release(job)
      for task in (answer, hung_up):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
          await task


class _Writer:
  """A job -> OpenAI's objects."""

  def __init__(self, name: str, wish: protocol.Wish, job: Job, pieces: text_lib.Pieces):
    self._wish, self._job, self._pieces = wish, job, pieces
    kind = 'chat.completion' if wish.chat else 'text_completion'
    self._head = {'id': f'{"chatcmpl" if wish.chat else "cmpl"}-{uuid.uuid4().hex}', 'created': int(time.time()),
                  'model': name, 'system_fingerprint': f'r1jax-{r1jax.__version__}',
                  'object': f'{kind}.chunk' if wish.chat and wish.stream else kind}

  def _usage(self) -> dict:
    job = self._job
    return {'prompt_tokens': job.prompt_tokens, 'completion_tokens': job.completion_tokens,
            'total_tokens': job.prompt_tokens + job.completion_tokens}

  async def whole(self) -> dict:
    of_choice: list[list[Delta]] = [[] for _ in self._job.choices]
    async for deltas in self._job.deltas():
      for delta in deltas:
        of_choice[delta.choice].append(delta)
    choices = []
    for index, deltas in enumerate(of_choice):
      content = ''.join(delta.content for delta in deltas)
      reasoning = ''.join(delta.reasoning for delta in deltas)
      logps = [each for delta in deltas for each in delta.logps]
      choice = {'index': index, 'finish_reason': deltas[-1].finish,
                'logprobs': None if self._wish.top is None else self._logprobs(logps, 0)}
      if self._wish.chat:
        message = {'role': 'assistant', 'content': content}
        choice['message'] = message | ({'reasoning_content': reasoning} if reasoning else {})
      else:
        choice['text'] = content
      choices.append(choice)
    return self._head | {'choices': choices, 'usage': self._usage()}

  async def events(self):
    """Server-sent events, the last one [DONE]; what breaks it off is an event as well."""
    usage = {'usage': None} if self._wish.include_usage else {}
    offsets = [0] * len(self._job.choices)
    try:
      if self._wish.chat:
        for choice in self._job.choices:
          yield self._event([{'index': choice.index, 'delta': {'role': 'assistant', 'content': ''}, 'logprobs': None,
                              'finish_reason': None}], usage)
      async for deltas in self._job.deltas():
        for delta in deltas:
          if delta.content or delta.reasoning or delta.logps or delta.finish:
            yield self._event([self._choice(delta, offsets[delta.choice])], usage)
            offsets[delta.choice] += len(delta.content)
      if self._wish.include_usage:
        yield self._event([], {'usage': self._usage()})
    except Refused as e:
      yield f'data: {json.dumps(e.body())}\n\n'
    yield 'data: [DONE]\n\n'

  def _event(self, choices: list[dict], more: dict) -> str:
    return f'data: {json.dumps(self._head | {"choices": choices} | more)}\n\n'

  def _choice(self, delta: Delta, offset: int) -> dict:
    logprobs = None if self._wish.top is None else self._logprobs(delta.logps, offset)
    choice = {'index': delta.choice, 'logprobs': logprobs, 'finish_reason': delta.finish}
    if not self._wish.chat:
      return choice | {'text': delta.content}
    said = {'reasoning_content': delta.reasoning} if delta.reasoning else {}
    return choice | {'delta': said | ({'content': delta.content} if delta.content else {})}

  def _logprobs(self, logps: list, offset: int) -> dict:
    """offset: characters of the choice before these tokens."""
    top = self._wish.top
    texts = self._pieces([token for token, *_ in logps])
    best = [list(zip(self._pieces(ids[:top]), values)) for _, _, ids, values in logps]
    if not self._wish.chat:
      offsets = [offset]
      for text in texts:
        offsets.append(offsets[-1] + len(text))
      said = [logp for _, logp, *_ in logps]
      return {'tokens': texts, 'token_logprobs': said, 'text_offset': offsets[:-1],
              'top_logprobs': [dict(pairs) | {text: logp} for pairs, text, logp in zip(best, texts, said)]}
    entry = lambda text, logp: {'token': text, 'logprob': logp,
                                'bytes': None if '\ufffd' in text else list(text.encode())}
    return {'content': [entry(text, logp) | {'top_logprobs': [entry(*pair) for pair in pairs]}
                        for text, (_, logp, *_), pairs in zip(texts, logps, best)], 'refusal': None}
