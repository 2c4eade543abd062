"""The published schema: print it, and tell whether a committed copy still tells the truth."""

from __future__ import annotations

from graphql import GraphQLError, build_schema, find_breaking_changes

from gateway.graphql.schema import export_sdl, schema


def sdl() -> str:
    """Print the schema as it is served."""
    return export_sdl()


def check(committed: str) -> list[str]:
    """List what is wrong with a committed copy of the schema; empty where nothing is.

    A copy that merely differs is stale. A copy that promises what is no longer served was broken.
    """
    if committed == export_sdl():
        return []
    try:
        promised = build_schema(committed)
    except (GraphQLError, TypeError) as error:
        return [f"The committed schema cannot be read: {error}"]
    broken = [
        f"Breaks clients: {change.description}" for change in find_breaking_changes(promised, schema().core)
    ]
    return [*broken, "Differs from what is served: run `gateway schema export` and commit the result."]
