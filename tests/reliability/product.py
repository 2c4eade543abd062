"""A gateway as in production before a sandbox, with a service's key and the tokens of people."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.jwk import RSAKey

from gateway.app import build
from gateway.sandbox import Sandbox, create_sandbox
from gateway.sandbox.conversations import LONG, SHORT
from gateway.settings import parse
from tests.serving import serve

ISSUER = "https://id.example.org/"
ALL_SCOPES = "messages:read messages:send search files"
SERVICE = {"X-API-Key": "key-of-a-service"}
PATHS = {"v1": "gh/sb-demo", "v2": "acme-health/live"}
MINE, THEIRS = SHORT, LONG
ORIGIN = "https://app.example.org"

READ = (
    "query ($id: ID!) { patient(patientId: $id) { firstName messages { nodes { body sender { name } } } } }"
)
BODIES = (
    "query ($id: ID!, $c: String) "
    "{ patient(patientId: $id) { messages(first: 200, after: $c) { nodes { body } } } }"
)
SEND = (
    "mutation ($id: ID!, $body: String!) { sendMessage(input: {patientId: $id, body: $body}) "
    "{ messageEdge { node { body } } } }"
)

_ID = "[A-Za-z0-9][A-Za-z0-9_-]{0,127}"
TEMPLATES = [
    re.compile(template.replace("ID", _ID))
    for template in (
        r"/v1/gh/admin/api_clients/ID",
        r"/v1/gh/sb-demo/patients/ID/chat(/search|/inbound)?",
        r"/v1/gh/sb-demo/patients(/ID)?",
        r"/v2/auth/token",
        r"/v2/acme-health/live/patients/ID/chat/messages",
        r"/v2/acme-health/live/chat/search",
        r"/v2/acme-health/live/patients(/ID)?",
        r"/v2/acme-health/live/chat/messages",
        r"/v2/acme-health/live/chat/files/ID",
    )
]
"""The only paths that the gateway may ask Welkin for, as they come over the wire."""


@dataclass
class Product:
    """What a test attacks, and what it looks at afterwards."""

    url: str
    sandbox: Sandbox
    sandbox_url: str
    signing: RSAKey
    folder: Path
    http: httpx2.Client
    heard: list[tuple[bytes, bytes]]
    """Every header that Welkin received."""

    def token(self, **changes: Any) -> str:
        """Sign a token; a claim that is None is left out."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": "welkin-gateway",
            "sub": "ada",
            "exp": now + 600,
            "scope": ALL_SCOPES,
            "welkin_patients": [MINE],
        } | changes
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "k1"}, kept, self.signing)

    def person(self, **changes: Any) -> dict[str, str]:
        """Give the headers of a person."""
        return {"Authorization": f"Bearer {self.token(**changes)}"}

    def post(self, version: str, body: Any, headers: dict[str, str] | None = None) -> httpx2.Response:
        """Send a request as it is."""
        shown = SERVICE if headers is None else headers
        return self.http.post(f"{self.url}/{PATHS[version]}/graphql", json=body, headers=shown)

    def ask(
        self, version: str, document: str, headers: dict[str, str] | None = None, **variables: Any
    ) -> dict[str, Any]:
        """Run an operation; gives the whole answer but its cost."""
        answer = self.post(version, {"query": document, "variables": variables}, headers).json()
        answer.pop("extensions", None)
        return answer

    def new_patient(self, *texts: str, **fields: str) -> str:
        """Make a patient whose messages nobody has read yet."""
        patient_id = f"pt_{time.monotonic_ns()}"
        messages = [{"text": text, "from": "patient"} for text in texts]
        made = {"patientId": patient_id, "firstName": "Ada", "messages": messages} | fields
        self.http.post(f"{self.sandbox_url}/control/patients", json=made).raise_for_status()
        return patient_id

    def calls(self) -> int:
        """Count what Welkin was asked, tokens left out."""
        counts = self.sandbox.requests.counts
        return sum(count for name, count in counts.items() if not name.endswith("token"))

    def strange_paths(self) -> list[str]:
        """Give every path that Welkin saw and no template has."""
        paths = {seen.path for seen in self.sandbox.requests.seen}
        return [path for path in paths if not any(template.fullmatch(path) for template in TEMPLATES)]

    def trail(self) -> list[dict[str, Any]]:
        """Read the audit trail."""
        file = self.folder / "audit.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@contextmanager
def product(
    folder: Path, each_instance: dict[str, Any] | None = None, first: str = "v1", **sections: dict[str, Any]
) -> Iterator[Product]:
    """Run both; ``sections`` and what is said of ``each_instance`` are added to the configuration.

    ``first`` is the version of the instance that answers where an address names none.
    """
    signing = RSAKey.generate_key(2048, {"kid": "k1", "use": "sig", "alg": "RS256"})
    (folder / "jwks.json").write_text(json.dumps({"keys": [signing.as_dict(private=False)]}))
    app, heard = create_sandbox(), []

    async def welkin(scope: Any, receive: Any, send: Any) -> None:
        heard.extend(scope.get("headers", ()))
        await app(scope, receive, send)

    with serve(welkin) as sandbox_url:
        settings = _settings(folder, sandbox_url)
        for name, section in sections.items():
            settings[name] = settings.get(name, {}) | section
        settings["instances"].sort(key=lambda each: each["api"] != first)
        settings["instances"] = [each | (each_instance or {}) for each in settings["instances"]]
        with serve(build(parse(settings, {})).web) as url, httpx2.Client(timeout=30) as http:
            yield Product(url, app.state.sandbox, sandbox_url, signing, folder, http, heard)


def _settings(folder: Path, sandbox_url: str) -> dict[str, Any]:
    key = {
        "id": "service",
        "sha256": hashlib.sha256(SERVICE["X-API-Key"].encode()).hexdigest(),
        "scopes": ALL_SCOPES.split(),
        "patients": ["*"],
        "instances": list(PATHS.values()),
    }
    issuer = {
        "issuer": ISSUER,
        "audience": "welkin-gateway",
        "jwks_file": str(folder / "jwks.json"),
        "instances": list(PATHS.values()),
    }
    return {
        "server": {"cors_origins": [ORIGIN]},
        "auth": {"mode": ["api-key", "jwt"], "keys": [key], "jwt": issuer},
        "cache": {"ttl_seconds": 0},
        "telemetry": {"audit_file": str(folder / "audit.jsonl")},
        "instances": [
            {
                "tenant": path.split("/")[0],
                "instance": path.split("/")[1],
                "api": api,
                "base_url": f"{sandbox_url}/{api}",
                "client": f"SANDBOX{api.upper()}",
                "secret": "sandbox-secret",
                "webhook_key": "hook-key",
                "webhook_secret": "hook-secret",
            }
            for api, path in PATHS.items()
        ],
    }
