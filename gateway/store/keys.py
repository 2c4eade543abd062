"""Keys of the configuration at work in Redis: what names and seals everything that is kept there.

A *rotation* must lose neither a change nor a send, in whatever order the processes of a gateway are
restarted with the new list of keys. So each key stands for itself: it makes its own names and opens
only what lies under them. What has to be found by all (generations, sends, wakes) is written under
every key of the list; two processes whose lists share one key then understand each other. Copies of
reads are written under the newest key alone, since a lost copy costs a read and nothing else.

Names are keyed hashes: no id, token or text of a search can be read from one, or guessed and tried.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

_VERSION = b"\x01"
_NONCE_BYTES = 12


class StoreKey:
    """One encryption key. ``prefix`` begins the names of all that it keeps."""

    def __init__(self, secret: str, prefix: str) -> None:
        digest = hashlib.blake2b(secret.encode(), person=b"gateway store").digest()
        self._names = hashlib.blake2b(b"names", key=digest, digest_size=32).digest()
        # GCM-SIV: a nonce drawn twice by chance tells nothing, however much is written under one key.
        self._cipher = AESGCMSIV(hashlib.blake2b(b"seals", key=digest, digest_size=32).digest())
        self._prefix = prefix

    def name(self, kind: str, *parts: str) -> str:
        """Give the name of something in Redis. Only ``kind`` can be read from it."""
        text = "".join(f"{len(part)}:{part}" for part in (kind, *parts))
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._names, digest_size=20)
        return f"{self._prefix}:{kind}:{digest.hexdigest()}"

    def seal(self, name: str, value: bytes, shown: bytes = b"") -> bytes:
        """Encrypt a value for one name. ``shown`` stays readable where it is written, and is bound too."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        bound = b"|".join((_VERSION, name.encode(), shown))
        return _VERSION + nonce + self._cipher.encrypt(nonce, value, bound)

    def open(self, name: str, sealed: bytes, shown: bytes = b"") -> bytes:
        """Decrypt what lies under a name.

        Raises:
            ValueError: it was not sealed by this key for this name.
        """
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _VERSION or len(nonce) < _NONCE_BYTES:
            raise ValueError("not sealed here")
        try:
            return self._cipher.decrypt(nonce, text, b"|".join((_VERSION, name.encode(), shown)))
        except InvalidTag as error:
            raise ValueError("not sealed here") from error


def store_keys(encryption_keys: Sequence[str], prefix: str) -> tuple[StoreKey, ...]:
    """Make the keys of the configuration, newest first.

    Raises:
        ValueError: there is none.
    """
    if not encryption_keys:
        raise ValueError("nothing is kept in Redis without an encryption key")
    return tuple(StoreKey(secret, prefix) for secret in encryption_keys)
