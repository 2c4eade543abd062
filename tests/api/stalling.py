"""What tests of streams need to be bad clients: small buffers, silence, packets that get lost."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing
from urllib.parse import urlsplit

import httpx2

from gateway.domain.connection import Edge
from tests.api.fakes import FakeInstance

SO_ATTACH_FILTER = 26
"""Linux's; Python has no name for it."""

TEXT = "x" * 2_000


class Taking(FakeInstance):
    """Counts what each subscription has taken, in the order in which they began."""

    def __init__(self) -> None:
        super().__init__(messages=1)
        self.taken: list[int] = []

    async def follow(self, patient_id: str, after: str | None) -> AsyncGenerator[Edge]:
        place = len(self.taken)
        self.taken.append(0)
        async with aclosing(super().follow(patient_id, after)) as edges:
            async for edge in edges:
                self.taken[place] += 1
                yield edge


def narrow_socket(url: str, receive_bytes: int = 4_096) -> socket.socket:
    """Connect with a buffer that takes little, as a phone with a bad line does."""
    address = urlsplit(url)
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.connect((address.hostname, address.port))
    return connection


def lose_packets(connection: socket.socket) -> None:
    """Let the kernel drop every packet that comes in from now on, as if the cable had been cut."""
    drop_all = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(drop_all))
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def reset_on_close(connection: socket.socket) -> None:
    """Make the close a reset: the peer gets RST, and no FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def metric(base_url: str, line: str) -> float:
    """Give the value of a metric; 0 where it was never counted."""
    async with httpx2.AsyncClient() as http:
        shown = (await http.get(f"{base_url}/metrics")).text
    values = [each.rpartition(" ")[2] for each in shown.splitlines() if each.startswith(f"{line} ")]
    return float(values[0]) if values else 0.0
