"""What a file may be called, what it may pass for, and which ids of files are taken."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.file_headers import MAX_NAME, OCTETS, TYPES, disposition, safe_name
from tests.api.asking import raw_request, read_all
from tests.api.fake_files import FakeFile
from tests.api.fakes import FakeInstance, web_of
from tests.serving import serve


@pytest.fixture
def file() -> FakeFile:
    return FakeFile()


@pytest.fixture
def fake(file: FakeFile) -> FakeInstance:
    fake = FakeInstance()
    fake.files["f-1"] = file
    return fake


@pytest.fixture
def client(fake: FakeInstance) -> Iterator[httpx2.Client]:
    with serve(web_of(fake)) as base_url, httpx2.Client(base_url=base_url) as client:
        yield client


@pytest.mark.parametrize(
    ("told", "served"),
    [
        ("IMAGE/PNG; charset=x", "image/png"),
        ("image/jpg", "image/jpeg"),
        ("audio/x-m4a", "audio/mp4"),
        ("text/html", OCTETS),
        ("image/svg+xml", OCTETS),
        ("text/xml", OCTETS),
        ("application/javascript", OCTETS),
        ("text/plain", OCTETS),
        ("image/png\r\nX-Evil: 1", OCTETS),
        ("multipart/x-mixed-replace", OCTETS),
        ("", OCTETS),
        (None, OCTETS),
    ],
)
def test_only_types_that_no_browser_runs_are_said(
    client: httpx2.Client, file: FakeFile, told: str | None, served: str
) -> None:
    file.content_type = told

    answer = client.get("/files/f-1")

    assert answer.headers["content-type"] == served
    assert "x-evil" not in answer.headers


def test_every_type_has_an_extension() -> None:
    assert all(
        kind.partition("/")[0] in {"image", "audio", "video", "application"} for kind, _ in TYPES.values()
    )
    assert all(extension.startswith(".") for _, extension in TYPES.values())


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("rash.png", "rash.png"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\x\\y.png", "C__x_y.png"),
        ('a"; filename="b.exe', "a__ filename=_b.exe"),
        ("a\r\nSet-Cookie: x.png", "aSet-Cookie_ x.png"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("a\0b\x7f\x1b[31m.png", "ab[31m.png"),
        (" .hidden. ", "hidden"),
        ("half\ud83d.png", "half.png"),
        ("100%41.png", "100_41.png"),
        ("a" * 200 + ".png", "a" * 146 + ".png"),
        ("b." + "c" * 200, "b." + "c" * 148),
    ],
)
def test_a_name_is_left_without_tricks(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "attachment; filename=\"file-1.png\"; filename*=UTF-8''file-1.png"),
        ("\u202e/..", "attachment; filename=\"file-1.png\"; filename*=UTF-8''file-1.png"),
        (
            "Brief f\u00fcr Omar.pdf",
            "attachment; filename=\"Brief f_r Omar.pdf\"; filename*=UTF-8''Brief%20f%C3%BCr%20Omar.pdf",
        ),
        (
            "\u5199\u771f.png",
            "attachment; filename=\"file-1.png\"; filename*=UTF-8''%E5%86%99%E7%9C%9F.png",
        ),
    ],
)
def test_a_download_has_a_plain_name_and_the_real_one(name: str | None, expected: str) -> None:
    assert disposition(name, "file-1.png") == expected


@pytest.mark.parametrize(
    "path",
    [
        "/files/",
        "/files/..",
        "/files/../admin",
        "/files/a/b",
        "/files//evil/x",
        "/files/a%2Fb",
        "/files/..%2Fadmin",
        "/files/%2e%2e",
        "/files/%2e%2e/admin",
        "/files/%252e%252e",
        "/files/%66-1",
        "/files/f-1%00",
        "/files/f-1%0d%0aX-Evil:1",
        "/files/f-1%3Fx=1",
        "/files/f-1;x",
        "/files/f-1\\x",
        "/files/-f",
        "/files/" + "f" * 129,
        "/files/" + "f" * 10_000,
        "/gh/sb-demo/files/..%2f..%2ffiles/f-1",
        "/gh/sb-demo%2Ffiles/f-1",
    ],
)
def test_an_id_with_tricks_reaches_nothing(client: httpx2.Client, fake: FakeInstance, path: str) -> None:
    prefixes = [""] if path.startswith("/gh") else ["", "/gh/sb-demo"]
    for prefix in prefixes:
        status = read_all(raw_request(client, f"GET {prefix}{path} HTTP/1.1", "Connection: close"))[:12]
        assert status == b"HTTP/1.1 400", (prefix, status)

    assert fake.calls == []


@given(st.text(max_size=300))
def test_any_name_gives_a_header_that_can_be_sent(name: str) -> None:
    told = disposition(name, "file-1")

    assert re.fullmatch(r"""attachment; filename="[ -~]{1,150}"; filename\*=UTF-8''[A-Za-z0-9._~%-]+""", told)
    assert len(safe_name(name)) <= MAX_NAME
    assert told.count('"') == 2
