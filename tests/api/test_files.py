"""Attachments through the gateway, from the sandbox to the client."""

from __future__ import annotations

import httpx2
import pytest

from gateway.sandbox import FaultRule
from gateway.sandbox.conversations import FILE_LARGE, FILE_LETTER, FILE_PICTURE, FILES
from tests.api.system import PATHS, system

ATTACHMENTS = "query ($id: ID!) { patient(patientId: $id) { messages { nodes { attachments { id url } } } } }"


@pytest.fixture
def running():
    with system(instance={"timeout_seconds": 3}) as each:
        yield each


@pytest.mark.parametrize(
    "style", ["attachments", "files", "attachment", "attachment_id", "file_id", "other_names"]
)
def test_the_path_of_an_attachment_gives_its_bytes_whatever_form_welkin_tells_it_in(running, style):
    running.sandbox.turn(v2_attachments=style)
    nodes = running.query("v2", ATTACHMENTS, id=FILES)["patient"]["messages"]["nodes"]
    urls = {a["id"]: a["url"] for node in nodes for a in node["attachments"]}

    answer = running.http.get(f"{running.gateway_url}{urls[FILE_PICTURE.id]}")

    assert answer.content == FILE_PICTURE.content
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


def test_v1_has_no_files(running):
    nodes = running.query("v1", ATTACHMENTS, id=FILES)["patient"]["messages"]["nodes"]
    answer = running.http.get(f"{running.gateway_url}/{PATHS['v1']}/files/{FILE_PICTURE.id}")

    assert all(node["attachments"] == [] for node in nodes)
    assert answer.status_code >= 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED_BY_UPSTREAM"


def test_a_file_that_breaks_off_is_seen_as_broken(running):
    running.sandbox.faults.add(FaultRule("reset_mid_body", operation="file", api="v2"))

    with pytest.raises(httpx2.HTTPError):
        running.http.get(f"{running.gateway_url}/{PATHS['v2']}/files/{FILE_LARGE.id}")


@pytest.mark.parametrize("name", ["..%2f..%2fadmin", "%2e%2e", "a%2Fb", "x" * 200, "%00"])
def test_an_id_that_cannot_be_one_asks_nothing_of_welkin(running, name):
    answer = running.http.get(f"{running.gateway_url}/{PATHS['v2']}/files/{name}")

    assert answer.status_code in (400, 404)
    assert running.sandbox.requests.count("v2.file") == 0
    assert not running.sandbox.requests.undocumented


def test_a_file_that_is_not_there_is_not_found(running):
    answer = running.http.get(f"{running.gateway_url}/{PATHS['v2']}/files/{FILE_LETTER.id[:-4]}ffff")

    assert answer.status_code == 404
    assert answer.json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"


def test_head_tells_the_size_without_the_bytes(running):
    answer = running.http.head(f"{running.gateway_url}/{PATHS['v2']}/files/{FILE_LETTER.id}")

    assert (answer.status_code, answer.content) == (200, b"")


def test_a_part_of_a_file_can_be_asked_for(running):
    running.sandbox.turn(v2_ranges=True)

    url = f"{running.gateway_url}/{PATHS['v2']}/files/{FILE_PICTURE.id}"
    answer = running.http.get(url, headers={"Range": "bytes=2-5"})

    assert answer.status_code == 206
    assert answer.content == FILE_PICTURE.content[2:6]
