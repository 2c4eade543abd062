"""Encryption of what leaves the gateway and comes back: what cursors of a search say."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV


class CursorSeal:
    """AES-SIV: needs no nonce, so equal cursors stay equal."""

    def close(self, key: bytes, text: bytes) -> bytes:
        """Encrypt under a cursor key."""
        return AESSIV(_derive(key)).encrypt(text, None)

    def open(self, key: bytes, sealed: bytes) -> bytes:
        """Decrypt.

        Raises:
            ValueError: it was not sealed under this key.
        """
        try:
            return AESSIV(_derive(key)).decrypt(sealed, None)
        except InvalidTag as error:
            raise ValueError("not sealed here") from error


def _derive(key: bytes) -> bytes:
    return hashlib.blake2b(b"welkin-gateway cursor seal", key=key[:64], digest_size=64).digest()
