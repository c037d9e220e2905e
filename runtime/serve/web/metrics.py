"""Figures of the running server, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..service.run import Run
from ..service.service import Service

# Of what generate_latest writes; the library has a name for it since 0.23 only.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)


class Metrics:
    """Requests and answers since the start. They leave this process at GET /metrics only."""

    def __init__(self, service: Service) -> None:
        """Read the queue from `service`."""
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "refact_edge_requests", "Requests answered.", ["path", "status"], registry=registry
        )
        self._first = Histogram(
            "refact_edge_first_token_seconds",
            "From a request's arrival to its first text.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._total = Histogram(
            "refact_edge_request_seconds",
            "From a request's arrival to its end.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "refact_edge_tokens",
            "Tokens: of prompts, of those the reused ones, and new ones.",
            ["kind"],
            registry=registry,
        )
        self._drafts = Counter(
            "refact_edge_guesses",
            "Tokens drafted (tried), and those accepted (held).",
            ["kind"],
            registry=registry,
        )
        for name, text, value in (
            ("waiting", "Requests that wait.", lambda: service.waiting),
            ("running", "Requests that are computed.", lambda: service.running),
            ("model_loaded", "Whether the model is in memory.", lambda: service.loaded),
        ):
            Gauge(f"refact_edge_{name}", text, registry=registry).set_function(value)

    def answered(self, path: str, status: int) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()

    def ran(self, run: Run, arrival_s: float) -> None:
        """Count times and tokens of a run, whose request came at `arrival_s` of the clock."""
        if run.first_s:
            self._first.observe(run.first_s - arrival_s)
        if run.ended_s:
            self._total.observe(run.ended_s - arrival_s)
        for usage in (stream.usage for stream in run.streams):
            self._tokens.labels("prompt").inc(usage.prompt)
            self._tokens.labels("reused").inc(usage.cached)
            self._tokens.labels("new").inc(usage.new)
            self._drafts.labels("tried").inc(usage.drafted)
            self._drafts.labels("held").inc(usage.accepted)

    def text(self) -> bytes:
        """Return all in the format of Prometheus."""
        return generate_latest(self._registry)
