"""The pool of connections to Redis, with two things that redis-py's own does not tell or do.

*Never asked.* A command that found no connection surely did not reach Redis; the same error of a
command under way says nothing of the kind. So the former has a type of its own.

*Demoted.* After a failover the old server may keep its connections open as a replica, and would refuse
every write on them for ever, though the address leads to another server by now. So the pool can give
up all its connections at once.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import MasterDownError, ReadOnlyError, ResponseError


class NotConnected(Exception):
    """No connection could be made, or was free in time: what was to be asked was not asked."""


class Pool(BlockingConnectionPool):
    """The connections of one link."""

    async def get_connection(
        self, command_name: Any = None, *keys: Any, **options: Any
    ) -> AbstractConnection:
        """Give a connection.

        Raises:
            NotConnected: there is none.
        """
        del command_name, keys, options  # redis-py itself makes no use of them any more
        try:
            return await super().get_connection()  # pyright: ignore[reportUnknownMemberType] - untyped options
        except Exception as error:  # whatever it is, names and certificates included, nothing was asked
            raise NotConnected from error

    async def renew(self) -> None:
        """Use no connection of now again: idle ones end now, the others when their command does."""
        await self.update_active_connections_for_reconnect()
        idle, self._available_connections = self._available_connections, []
        for connection in idle:
            await connection.disconnect(nowait=True)


def demoted(error: ResponseError) -> bool:
    """Tell whether this is a replica's refusal; before Redis 7 it may be within that of a script."""
    return isinstance(error, ReadOnlyError | MasterDownError) or "READONLY" in str(error)
