"""What a server tells of itself: Prometheus metrics, and a line of JSON a request."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from ..types import Answer

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
PROMPTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

GAUGES = {
    "requests_running": "Requests at work",
    "requests_waiting": "Requests in line",
    "cache_entries": "Passages whose states are remembered",
    "cache_bytes": "Memory of the remembered states",
    "weights_bytes": "Memory of the models' weights",
    "rest_bytes": "Resident memory that is neither weights nor remembered states",
    "cache_hits": "Passages whose states were in memory",
    "cache_misses": "Passages whose states were not in memory",
    "disk_cache_bytes": "States of frequent passages on disk",
    "disk_cache_hits": "Passages whose states came from disk",
    "disk_cache_misses": "Passages whose states were not on disk",
}
"""What has a value at any time, by name."""

_log = logging.getLogger("rankrag.server")


class Telemetry:
    """The metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # resident memory and processor time, where Linux tells them
        self.requests = Counter(
            "rankrag_requests", "Requests by route and status", ["route", "status"], registry=self.registry
        )
        self.request_seconds = self._histogram("request_seconds", "Seconds of a request", SECONDS, "route")
        self.step_seconds = self._histogram("step_seconds", "Seconds of a step of an answer", SECONDS, "step")
        self.batch_prompts = self._histogram(
            "batch_prompts", "Prompts that shared a pass of the model", PROMPTS
        )
        self.batch_requests = self._histogram("batch_requests", "Requests that shared a pass", PROMPTS)
        self.scored = self._counter("prompts_scored", "Prompts that the model scored, a passage each")
        self.answers = self._counter("answers", "Answers given")
        self.abstained = self._counter("abstentions", "Answers that abstained")
        self.tokens = Counter("rankrag_tokens", "Tokens read and written", ["kind"], registry=self.registry)
        self.gauges = {
            name: Gauge(f"rankrag_{name}", about, registry=self.registry) for name, about in GAUGES.items()
        }

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(f"rankrag_{name}", about, registry=self.registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"rankrag_{name}", about, labels, buckets=buckets, registry=self.registry)

    def batch(self, n_prompts: int, n_requests: int) -> None:
        """Count a pass of the model."""
        self.batch_prompts.observe(n_prompts)
        self.batch_requests.observe(n_requests)
        self.scored.inc(n_prompts)

    def answer(self, answer: Answer) -> None:
        """Count a finished answer."""
        self.answers.inc()
        self.abstained.inc(answer.abstained)
        for step, seconds in answer.timings_s.items():
            self.step_seconds.labels(step).observe(seconds)
        self.tokens.labels("prompt").inc(answer.usage.prompt_tokens)
        self.tokens.labels("completion").inc(answer.usage.completion_tokens)

    def request(self, route: str, status: int, started: float) -> None:
        """Count a request that is through; `started` is of `time.perf_counter`."""
        self.requests.labels(route, str(status)).inc()
        self.request_seconds.labels(route).observe(time.perf_counter() - started)

    def text(self) -> bytes:
        """Return the metrics as Prometheus reads them."""
        return generate_latest(self.registry)


class Lines(logging.Formatter):
    """A line of JSON for each record; what a record has in `facts` stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts: Mapping[str, object] = getattr(record, "facts", {})
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **facts,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_lines() -> None:
    """Send the log of the server, and of all that it uses, to standard error: a line of JSON each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name, level in (("rankrag", logging.INFO), ("uvicorn", logging.WARNING), ("mcp", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def say(message: str, facts: Mapping[str, object]) -> None:
    """Log an event with its facts."""
    _log.info(message, extra={"facts": dict(facts)})
