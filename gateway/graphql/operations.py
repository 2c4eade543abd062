"""Example operations, kept beside the schema as files of their own; GraphiQL shows them."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

import gateway

_FIRST = "newest_messages.graphql"


def contract_folder() -> Traversable:
    """Find the published schema and operations: inside of the wheel, or in the checkout."""
    packaged = files("gateway.graphql") / "contract"
    # In a checkout the files stand beside the package, where other teams read them.
    return packaged if packaged.is_dir() else files(gateway) / ".." / "schema"


def example_operations() -> dict[str, str]:
    """Give the text of each example by its file name, the one to start with first."""
    folder = contract_folder() / "operations"
    found = {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if _is_example(entry)}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != _FIRST, name))}


def _is_example(entry: Traversable) -> bool:
    return entry.is_file() and entry.name.endswith(".graphql")
