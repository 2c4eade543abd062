"""A sandbox behind a real socket, and a client of each version that is already let in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from gateway.sandbox import Sandbox, SandboxConfig, create_sandbox
from tests.serving import serve

PATIENT = "pt-new"


@dataclass(frozen=True, slots=True)
class Served:
    """A running sandbox: driven in process, asked over HTTP."""

    sandbox: Sandbox
    url: str
    http: httpx2.Client
    v1_bearer: dict[str, str]
    v2_bearer: dict[str, str]

    def v1(self, path: str, method: str = "GET", **options: Any) -> httpx2.Response:
        url = f"/v1/gh/sb-demo{path}"
        return self.http.request(method, url, headers=options.pop("headers", self.v1_bearer), **options)

    def v2(self, path: str, method: str = "GET", **options: Any) -> httpx2.Response:
        url = f"/v2/acme-health/live{path}"
        return self.http.request(method, url, headers=options.pop("headers", self.v2_bearer), **options)

    def bulk(self, count: int, patient: str = PATIENT, **more: Any) -> None:
        if patient not in self.sandbox.store.patients:
            self.http.post("/control/patients", json={"patientId": patient}).raise_for_status()
        body = {"patientId": patient, "count": count, **more}
        self.http.post("/control/bulk", json=body).raise_for_status()


def fetch_bearer(http: httpx2.Client, api: str) -> dict[str, str]:
    if api == "v1":
        answer = http.post("/v1/gh/admin/api_clients/SANDBOXV1", json={"secret": "sandbox-secret"})
    else:
        answer = http.post("/v2/auth/token", json={"apiClient": "SANDBOXV2", "secret": "sandbox-secret"})
    return {"Authorization": f"Bearer {answer.raise_for_status().json()['token']}"}


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Sandbox, str, httpx2.Client]]:
    app = create_sandbox(SandboxConfig())
    with serve(app) as url, httpx2.Client(base_url=url, timeout=10) as http:
        yield app.state.sandbox, url, http


@pytest.fixture
def served(running: tuple[Sandbox, str, httpx2.Client]) -> Served:
    sandbox, url, http = running
    sandbox.reset()
    bearers = [fetch_bearer(http, api) for api in ("v1", "v2")]
    sandbox.requests.clear()
    return Served(sandbox, url, http, *bearers)


@pytest.fixture
def hang_up() -> Iterator[Callable[[str], httpx2.Client]]:
    """Open clients that stop waiting soon."""
    clients: list[httpx2.Client] = []

    def open_client(url: str) -> httpx2.Client:
        clients.append(httpx2.Client(base_url=url, timeout=0.4))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()
