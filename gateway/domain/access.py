"""Who is calling, and what they may do: the values, and the one policy that every door asks.

What a principal may not see looks like what does not exist. A missing scope is told, since it is a
property of the caller and says nothing about any patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.domain.errors import Forbidden, NotFound
from gateway.domain.model import InstanceName


class Scope(Enum):
    """A kind of thing that a principal may do."""

    READ = "messages:read"
    SEND = "messages:send"
    SEARCH = "search"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller who has proved who they are.

    ``patients`` and ``instances`` None stand for all of them. ``expires_at`` is in Unix seconds, and
    None where the proof does not end.
    """

    id: str
    scopes: frozenset[Scope]
    patients: frozenset[str] | None = frozenset()
    instances: frozenset[InstanceName] | None = frozenset()
    expires_at: float | None = None


EVERYBODY = Principal("everybody", frozenset(Scope), patients=None, instances=None)
"""Whoever calls where access control is switched off, which only the loopback allows."""


def check_instance(principal: Principal, instance: InstanceName) -> None:
    """Let a principal into an instance.

    Raises:
        NotFound: not this one; it looks as if it were not served.
    """
    if principal.instances is not None and instance not in principal.instances:
        raise NotFound("No such instance is served here.")


def check_scope(principal: Principal, scope: Scope) -> None:
    """Let a principal do a kind of thing.

    Raises:
        Forbidden: they lack the scope.
    """
    if scope not in principal.scopes:
        raise Forbidden(f"This needs the scope {scope.value}.")


def sees(principal: Principal, patient_id: str) -> bool:
    """Tell whether a principal may know of a patient."""
    return principal.patients is None or patient_id in principal.patients


def check_patient(principal: Principal, patient_id: str) -> None:
    """Let a principal into a patient's conversation.

    Raises:
        NotFound: not this one; it looks as if Welkin did not know the patient.
    """
    if not sees(principal, patient_id):
        raise NotFound("Welkin knows no such patient.")
