"""Who is calling: finds the principal behind credentials, by whichever kind of proof they are."""

from __future__ import annotations

from gateway.access.jwt import REFUSED, JwtVerifier
from gateway.access.keys import ApiKeys
from gateway.domain.access import EVERYBODY, Principal
from gateway.domain.errors import Unauthenticated


class Authenticator:
    """Finds the principal behind credentials.

    ``everybody`` switches access control off; it cannot be had together with keys or tokens.

    Raises:
        ValueError: nobody could ever get in, or the two contradict each other.
    """

    def __init__(
        self, keys: ApiKeys | None = None, jwt: JwtVerifier | None = None, *, everybody: bool = False
    ) -> None:
        if everybody is (keys is not None or jwt is not None):
            raise ValueError('Either "none" or a way to authenticate must be chosen.')
        self._keys = keys
        self._jwt = jwt
        self._everybody = everybody

    async def authenticate(self, authorization: bytes | None, api_key: bytes | None) -> Principal:
        """Tell who is calling.

        Two kinds of credentials at once are refused: which of them counts would be a guess.

        Raises:
            Unauthenticated: nobody who is known here.
        """
        if self._everybody:
            return EVERYBODY
        if authorization is not None and api_key is None and self._jwt is not None:
            token = bearer_token(authorization)
            if token is not None:
                return await self._jwt.verify(token)
        if api_key is not None and authorization is None and self._keys is not None:
            principal = self._keys.find(api_key)
            if principal is not None:
                return principal
        raise Unauthenticated(REFUSED)


def bearer_token(authorization: bytes) -> bytes | None:
    """Give the token of an Authorization header; None where it is another kind.

    >>> bearer_token(b"bearer abc")
    b'abc'
    >>> bearer_token(b"Basic abc") is None
    True
    """
    scheme, _, token = authorization.strip(b" \t").partition(b" ")
    token = token.lstrip(b" ")
    return token if scheme.lower() == b"bearer" and token and b" " not in token else None
