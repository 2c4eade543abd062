"""API keys of services: which are known, and whose a presented one is.

Only SHA-256 hashes are configured, so a leaked configuration opens nothing. To rotate a key, the new one
is listed beside the old one under an id of its own; both are good until the old one is taken out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.domain.access import Principal, Scope
from gateway.domain.model import InstanceName

KEY_PREFIX = "key:"
"""Begins the principal's id, so that nobody mistakes a service for a person."""

EVERY = "*"
"""Stands for all patients in a configured list."""

_SHA256_HEX = re.compile(r"[0-9A-Fa-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A service's key; ``patients`` and ``instances`` None stand for all of them.

    Raises:
        ValueError: the hash is not one of SHA-256; the text names the key's id.
    """

    id: str
    sha256_hex: str = field(repr=False)
    scopes: frozenset[Scope]
    patients: frozenset[str] | None = field(repr=False)
    instances: frozenset[InstanceName] | None

    def __post_init__(self) -> None:
        """Refuse a hash that no key can have."""
        if _SHA256_HEX.fullmatch(self.sha256_hex) is None:
            raise ValueError(f"The key {self.id}: sha256 must be 64 hexadecimal digits.")


def configured_key(
    key_id: str, sha256_hex: str, *, scopes: Iterable[str], patients: Iterable[str], instances: Iterable[str]
) -> ApiKey:
    """Read a key out of words: scopes by name, patients by id or "*", instances as "tenant/instance".

    Raises:
        ValueError: a word means nothing; the text names the key's id.
    """
    ids = frozenset(patients)
    return ApiKey(
        key_id,
        sha256_hex,
        frozenset(_scope(key_id, name) for name in scopes),
        None if EVERY in ids else ids,
        frozenset(_instance(key_id, name) for name in instances),
    )


class ApiKeys:
    """The keys that are good.

    Raises:
        ValueError: two keys share an id, or one key stands under two ids.
    """

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._principals: dict[bytes, Principal] = {}
        seen: set[str] = set()
        for key in keys:
            digest = bytes.fromhex(key.sha256_hex)
            if key.id in seen:
                raise ValueError(f"The key {key.id} is there twice.")
            if digest in self._principals:
                raise ValueError(f"The key {key.id}: another id has the same sha256.")
            seen.add(key.id)
            self._principals[digest] = Principal(KEY_PREFIX + key.id, key.scopes, key.patients, key.instances)

    def find(self, presented: bytes) -> Principal | None:
        """Tell whose key this is. Takes equally long whichever key it is, if any."""
        digest = hashlib.sha256(presented).digest()
        found: Principal | None = None
        for known, principal in self._principals.items():
            if hmac.compare_digest(known, digest):
                found = principal
        return found


def _scope(key_id: str, name: str) -> Scope:
    try:
        return Scope(name)
    except ValueError:
        known = ", ".join(scope.value for scope in Scope)
        raise ValueError(f"The key {key_id}: a scope is one of {known}.") from None


def _instance(key_id: str, name: str) -> InstanceName:
    tenant, slash, instance = name.partition("/")
    if not (tenant and slash and instance) or "/" in instance:
        raise ValueError(f"The key {key_id}: an instance is written tenant/instance.")
    return InstanceName(tenant, instance)
