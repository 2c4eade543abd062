"""The whole product in one process for the attacks: the sandbox Welkin, and a gateway with access control."""

from __future__ import annotations

import pytest

from tests.reliability.product import Product, product


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory):
    with product(tmp_path_factory.mktemp("product")) as made:
        yield made


@pytest.fixture(params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> None:
    """Forget what an earlier attack left behind, where a test uses the product."""
    if "running" in request.fixturenames:
        made: Product = request.getfixturevalue("running")
        made.sandbox.reset()
        made.sandbox.requests.clear()
