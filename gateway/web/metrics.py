"""What the doors count. Every label has a handful of values, however many patients there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From an answer out of the cache to the upstream's deadline."""


class Metrics:
    """Counters of the web, in the registry that `/metrics` shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "gateway_http_requests", "Answers by door and status.", ["door", "status"], registry=registry
        )
        self._seconds = Histogram(
            "gateway_http_request_seconds",
            "Time to the end of an answer; streams are left out.",
            ["door"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._operations = Counter(
            "gateway_operations",
            "Operations by kind and transport.",
            ["kind", "transport"],
            registry=registry,
        )
        self._errors = Counter(
            "gateway_graphql_errors", "Errors shown, by code.", ["code"], registry=registry
        )
        self._subscribers = Gauge(
            "gateway_subscribers", "Live subscriptions by transport.", ["transport"], registry=registry
        )
        self._sockets = Gauge("gateway_websockets", "Open WebSockets.", registry=registry)
        self._cut = Counter(
            "gateway_streams_cut",
            "Streams that the gateway ended or refused, by transport and why.",
            ["transport", "reason"],
            registry=registry,
        )
        self._webhooks = Counter(
            "gateway_webhooks", "Webhooks by the status of the answer.", ["status"], registry=registry
        )
        self._events = Counter(
            "gateway_webhook_events",
            "Platform webhooks by the status of the answer and what they led to.",
            ["status", "effect"],
            registry=registry,
        )
        self._files = Counter(
            "gateway_files", "Files by what became of them.", ["outcome"], registry=registry
        )

    def show_process(self, under_way: Callable[[], int], lag: Callable[[], float]) -> None:
        """Show how busy the process is: operations under way, and the event loop's delay in seconds."""
        shown: list[tuple[str, str, Callable[[], float]]] = [
            ("gateway_operations_under_way", "Queries and mutations that run now.", under_way),
            ("gateway_loop_lag_seconds", "The event loop's longest delay in the last 15 seconds.", lag),
            ("gateway_tasks", "Tasks of the event loop.", _count_tasks),
        ]
        for name, what, read in shown:
            Gauge(name, what, registry=self.registry).set_function(read)

    def answered(self, door: str, status: int, seconds: float | None) -> None:
        """Count an HTTP answer; ``None`` seconds for a stream, whose length says nothing."""
        self._requests.labels(door, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(door).observe(seconds)

    def operation(self, kind: str, transport: str) -> None:
        """Count an operation that begins."""
        self._operations.labels(kind, transport).inc()

    def errors(self, codes: Iterable[str]) -> None:
        """Count errors that are shown."""
        for code in codes:
            self._errors.labels(code).inc()

    def subscribers(self, transport: str, change: int) -> None:
        """Count a subscription that begins or ends."""
        self._subscribers.labels(transport).inc(change)

    def sockets(self, change: int) -> None:
        """Count a WebSocket that opens or closes."""
        self._sockets.inc(change)

    def cut(self, transport: str, reason: str) -> None:
        """Count a stream that did not end of itself: "stalled", "drained" or "full"."""
        self._cut.labels(transport, reason).inc()

    def webhook(self, status: int) -> None:
        """Count a webhook."""
        self._webhooks.labels(str(status)).inc()

    def event(self, status: int, effect: str) -> None:
        """Count a platform webhook."""
        self._events.labels(str(status), effect).inc()

    def file(self, outcome: str) -> None:
        """Count a file that was asked for."""
        self._files.labels(outcome).inc()


def _count_tasks() -> int:
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:  # asked from outside of the loop
        return 0
