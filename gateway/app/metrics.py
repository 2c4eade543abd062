"""What /metrics shows of the parts behind the doors. Instances are configured, so their names are few."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.access.jwks import Jwks
from gateway.app.instances import Built
from gateway.store.redis_store import RedisStore
from gateway.welkin.breaker import BreakerState

_OPEN = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}


@dataclass(frozen=True, slots=True, eq=False)
class _Figure(Collector):
    """One figure, read when it is asked for; ``labelled`` gives it for each instance."""

    kind: type[CounterMetricFamily | GaugeMetricFamily]
    name: str
    what: str
    read: Callable[[], float] | None = None
    labelled: Sequence[tuple[tuple[str, str], Callable[[], float]]] = ()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Give the figure as it is now."""
        if self.read is not None:
            yield self.kind(self.name, self.what, value=float(self.read()))
            return
        family = self.kind(self.name, self.what, labels=["tenant", "instance"])
        for labels, read in self.labelled:
            family.add_metric(labels, float(read()))
        yield family


def show_instances(registry: CollectorRegistry, built: Sequence[Built]) -> None:
    """Show listeners, and how the calls to each instance fare."""

    def show(
        kind: type[CounterMetricFamily | GaugeMetricFamily],
        name: str,
        what: str,
        read: Callable[[Built], float],
    ) -> None:
        labelled = [
            ((each.instance.name.tenant, each.instance.name.instance), lambda e=each: read(e))
            for each in built
        ]
        registry.register(_Figure(kind, name, what, labelled=labelled))

    gauge, count = GaugeMetricFamily, CounterMetricFamily
    show(gauge, "gateway_listeners", "Listeners to conversations", lambda each: each.instance.listeners)
    show(gauge, "gateway_upstream_calls", "Calls under way", lambda each: each.welkin.state.in_flight)
    show(gauge, "gateway_upstream_waiting", "Calls in line", lambda each: each.welkin.state.waiting)
    show(count, "gateway_upstream_retries", "Calls repeated", lambda each: each.welkin.state.retries)
    show(
        gauge,
        "gateway_upstream_breaker_open",
        "1 while calls fail at once, 0.5 while one is tried",
        lambda each: _OPEN[each.welkin.state.breaker],
    )


def show_store(registry: CollectorRegistry, redis: RedisStore) -> None:
    """Show how the shared store fares."""
    gauge, count = GaugeMetricFamily, CounterMetricFamily
    for kind, name, what, read in (
        (gauge, "gateway_store_healthy", "1 while the store answers in time", lambda: redis.healthy),
        (count, "gateway_store_failures", "Commands that failed or came late", lambda: redis.failures),
        (gauge, "gateway_store_unconfirmed", "Changes that are not confirmed", lambda: redis.unconfirmed),
    ):
        registry.register(_Figure(kind, name, what, read))


def show_keys(registry: CollectorRegistry, issuer: Jwks) -> None:
    """Show how often the identity provider's keys could not be read."""
    name, what = "gateway_identity_provider_failures", "Failed reads of the provider's keys"
    registry.register(_Figure(CounterMetricFamily, name, what, lambda: issuer.failures))


def show_audit(registry: CollectorRegistry, failures: Callable[[], int]) -> None:
    """Show how many lines the audit trail lost."""
    name, what = "gateway_audit_lines_lost", "Lines that the audit trail lost"
    registry.register(_Figure(CounterMetricFamily, name, what, failures))
