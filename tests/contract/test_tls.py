"""A Welkin whose certificate is not to be believed is told nothing: no token, no text, no credentials."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.sandbox import SandboxConfig, create_sandbox
from gateway.sandbox.conversations import FILE_PICTURE, SHORT
from gateway.settings import ConfigurationError, parse
from tests.api.system import CLIENTS, MESSAGES, PATHS, SEND, gateway
from tests.serving import serve

DAY = timedelta(days=1)
LOOPBACK: tuple[x509.GeneralName, ...] = (x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost"))
OTHER: tuple[x509.GeneralName, ...] = (x509.DNSName("welkin.example.org"),)
CANARY = "canary of a message"


@dataclass(frozen=True)
class Signer:
    """Whoever signs certificates; without a signer of its own it is its own."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, folder: Path) -> tuple[str, str]:
        """Write certificate and key, and give their paths."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "cert.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(key)
        return str(folder / "cert.pem"), str(folder / "key.pem")


def certify(
    name: str,
    signer: Signer | None = None,
    *,
    hosts: tuple[x509.GeneralName, ...] = LOOPBACK,
    ends: timedelta = DAY,
) -> Signer:
    """Make a certificate that began two days ago."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by = key if signer is None else signer.key
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .sign(by, hashes.SHA256())
    )
    return Signer(certificate, key)


class Listener(socketserver.ThreadingTCPServer):
    request_queue_size = 64


@dataclass
class Wire:
    """Passes bytes on to a server, and keeps those that came from its client."""

    port: int
    heard: list[bytes] = field(default_factory=list)

    @contextmanager
    def listen(self) -> Iterator[str]:
        wire = self

        class Passing(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with socket.create_connection(("127.0.0.1", wire.port)) as server:
                    back = threading.Thread(target=_pass, args=(server, self.request, []))
                    back.start()
                    _pass(self.request, server, wire.heard)
                    back.join()

        with Listener(("127.0.0.1", 0), Passing) as listener:
            thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
            thread.start()
            yield f"https://127.0.0.1:{listener.server_address[1]}"
            listener.shutdown()
            thread.join()


def _pass(source: socket.socket, target: socket.socket, heard: list[bytes]) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            heard.append(piece)
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, str]:
    made = certify("An authority of the tests")
    path, _ = made.write(tmp_path_factory.mktemp("authority"))
    return made, path


@dataclass
class Asked:
    """What clients of a gateway hear, and what its Welkin heard."""

    answers: list[httpx2.Response]
    requests: int
    heard: bytes
    retries: int
    """Calls that the gateway made again."""


def ask_everything(folder: Path, shown: Signer | None, ca_file: str) -> Asked:
    """Read, send and download through a gateway before a Welkin with this certificate; None: without TLS."""
    requests: list[str] = []
    app = create_sandbox(SandboxConfig(clients=CLIENTS))

    async def welkin(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            requests.append(scope["path"])
        await app(scope, receive, send)

    names = ("ssl_certfile", "ssl_keyfile")
    files = {} if shown is None else dict(zip(names, shown.write(folder), strict=True))
    read = {"query": MESSAGES, "variables": {"id": SHORT, "first": 2}}
    send = {"query": SEND, "variables": {"input": {"patientId": SHORT, "body": CANARY}}}
    calls = [("POST", f"{path}/graphql", body) for path in PATHS.values() for body in (read, send)]
    calls.append(("GET", f"{PATHS['v2']}/files/{FILE_PICTURE.id}", None))
    with serve(welkin, **files) as plain_url:
        wire = Wire(int(plain_url.rpartition(":")[2]))
        instance = {"ca_file": ca_file, "timeout_seconds": 15}
        with (
            wire.listen() as url,
            gateway(url, instance=instance) as gateway_url,
            httpx2.Client(timeout=40) as http,
            ThreadPoolExecutor() as pool,  # without TLS each of them is tried several times
        ):
            answers = list(
                pool.map(lambda call: http.request(call[0], f"{gateway_url}/{call[1]}", json=call[2]), calls)
            )
            metrics = http.get(f"{gateway_url}/metrics").text
    counted = re.findall(r"^gateway_upstream_retries_total\{.*\} (\S+)", metrics, re.MULTILINE)
    assert len(counted) == len(PATHS)
    return Asked(answers, len(requests), b"".join(wire.heard), round(sum(map(float, counted))))


@pytest.mark.parametrize(
    "what", ["signed by nobody known", "signed by itself", "another host", "expired", "no TLS"]
)
def test_a_certificate_that_is_not_to_be_believed_ends_the_call_before_it_begins(
    tmp_path: Path, authority: tuple[Signer, str], what: str
):
    signer, ca_file = authority
    shown = {
        "signed by nobody known": certify("one of an authority that nobody chose", signer),
        "signed by itself": certify("one of its own"),
        "another host": certify("another host", signer, hosts=OTHER),
        "expired": certify("expired", signer, ends=-DAY),
        "no TLS": None,
    }[what]

    asked = ask_everything(tmp_path, shown, "" if what == "signed by nobody known" else ca_file)

    for answer in asked.answers:  # those to sends too: that they did not leave is known
        (error,) = answer.json()["errors"]
        assert error["extensions"]["code"] == "UPSTREAM_UNAVAILABLE"
        if what != "no TLS":
            assert error["message"].startswith("Welkin's certificate cannot be trusted (")
    assert asked.requests == 0
    assert (asked.retries == 0) == (what != "no TLS")  # a certificate is no better a moment later
    assert asked.heard.startswith(b"\x16\x03")  # a handshake
    for secret in (b"sandbox-secret", b"SANDBOXV", b"Authorization", b"authorization", CANARY.encode()):
        assert secret not in asked.heard


def test_a_certificate_of_an_authority_that_was_chosen_is_believed(
    tmp_path: Path, authority: tuple[Signer, str]
):
    signer, ca_file = authority

    asked = ask_everything(tmp_path, certify("Welkin", signer), ca_file)

    *answers, file = asked.answers
    assert not any("errors" in answer.json() for answer in answers)
    assert len(answers[0].json()["data"]["patient"]["messages"]["edges"]) == 2
    assert file.content == FILE_PICTURE.content
    assert CANARY.encode() not in asked.heard


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_a_file_without_certificates_stops_the_start(tmp_path: Path, text: str | None):
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    instance = {
        "tenant": "gh",
        "instance": "sb-demo",
        "api": "v1",
        "base_url": "https://api.example.org",
        "client": "C",
        "secret": "s" * 16,
        "ca_file": str(path),
    }

    with pytest.raises(ConfigurationError, match=r"instances\[0\]\.ca_file: no certificates in PEM"):
        parse({"auth": {"mode": "none"}, "instances": [instance]}, {})
