"""What /metrics shows of the parts behind the doors. Instances are configured, so their names are few."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Gauge

from gateway.access.jwks import Jwks
from gateway.app.instances import Built
from gateway.store.redis_store import RedisStore
from gateway.welkin.breaker import BreakerState

_OPEN = {BreakerState.CLOSED: 0.0, BreakerState.HALF_OPEN: 0.5, BreakerState.OPEN: 1.0}


def show_instances(registry: CollectorRegistry, built: Sequence[Built]) -> None:
    """Show listeners, and how the calls to each instance fare."""
    shown: list[tuple[str, str, Callable[[Built], float]]] = [
        ("gateway_listeners", "Listeners to conversations", lambda each: each.instance.listeners),
        ("gateway_upstream_calls", "Calls to Welkin under way", lambda each: each.welkin.state.in_flight),
        ("gateway_upstream_waiting", "Calls that wait for a place", lambda each: each.welkin.state.waiting),
        ("gateway_upstream_retries", "Calls that were repeated", lambda each: each.welkin.state.retries),
        (
            "gateway_upstream_breaker_open",
            "1 while calls fail at once, 0.5 while one is tried",
            lambda each: _OPEN[each.welkin.state.breaker],
        ),
    ]
    for name, what, read in shown:
        gauge = Gauge(name, what, ["tenant", "instance"], registry=registry)
        for each in built:
            labels = each.instance.name
            gauge.labels(labels.tenant, labels.instance).set_function(lambda r=read, e=each: r(e))


def show_store(registry: CollectorRegistry, redis: RedisStore) -> None:
    """Show how the shared store fares."""
    _show(registry, "gateway_store_healthy", "1 while the store answers in time", lambda: redis.healthy)
    _show(registry, "gateway_store_failures", "Commands that failed or came late", lambda: redis.failures)
    _show(
        registry,
        "gateway_store_unconfirmed",
        "Changes the store has not confirmed",
        lambda: redis.unconfirmed,
    )


def show_keys(registry: CollectorRegistry, issuer: Jwks) -> None:
    """Show how often the identity provider's keys could not be read."""
    _show(
        registry,
        "gateway_identity_provider_failures",
        "Failed reads of the provider's keys",
        lambda: issuer.failures,
    )


def show_audit(registry: CollectorRegistry, failures: Callable[[], int]) -> None:
    """Show how many lines the audit trail lost."""
    _show(registry, "gateway_audit_lines_lost", "Lines that the audit trail lost", failures)


def _show(registry: CollectorRegistry, name: str, what: str, read: Callable[[], float]) -> None:
    Gauge(name, what, registry=registry).set_function(read)
