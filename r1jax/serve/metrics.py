"""What /metrics tells Prometheus."""

import prometheus_client
from prometheus_client import core

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


class Metrics:
  """Of one server, in a registry of its own."""

  def __init__(self):
    self.registry = prometheus_client.CollectorRegistry()
    counter = lambda name, text, *labels: prometheus_client.Counter(f'r1jax_{name}', text, labels,
                                                                    registry=self.registry)
    seconds = lambda name, text, *labels: prometheus_client.Histogram(f'r1jax_{name}', text, labels, buckets=_SECONDS,
                                                                      registry=self.registry)
    self.requests = counter('requests', 'Requests that were answered; 499: the client had gone', 'path', 'status')
    self.seconds = seconds('request_seconds', 'From a request to the end of its answer', 'path')
    self.first_token = seconds('first_token_seconds', 'From a request that was taken to its first token')
    self.prompt_tokens = counter('prompt_tokens', 'Tokens of prompts that were taken')
    self.completion_tokens = counter('completion_tokens', 'Tokens that were sampled for somebody')
    self.cancelled = counter('cancelled_completions', 'Completions whose client had gone before they ended')

  def watch(self, service) -> None:
    """Adds what the engine counts."""
    self.registry.register(_Engine(service))

  def text(self) -> tuple[bytes, str]:
    """(page, its content type)."""
    return prometheus_client.generate_latest(self.registry), 'text/plain; version=0.0.4; charset=utf-8'


class _Engine:
  """Read when they are asked for."""

  def __init__(self, service):
    self._service = service

  def collect(self):
    service, running = self._service, self._service.running
    for name, text, value in (
        ('slots', 'Completions that are decoded at a time', service.sampler.slots),
        ('slots_live', 'Completions that have a row', running.rows),
        ('open_completions', 'Completions that have not ended, with a row or waiting', service.open),
        ('capacity', 'Completions that may run or wait', service.capacity)):
      yield core.GaugeMetricFamily(f'r1jax_{name}', text, value=value)
    for name, text, value in (
        ('decode_steps', 'Decode steps', running.steps),
        ('decode_rows', 'Live rows, summed over decode steps', running.live),
        ('prefill_tokens', 'Prompt tokens that were computed', running.prefilled)):
      yield core.CounterMetricFamily(f'r1jax_{name}', text, value=value)
