"""Values that fit a schema of an OpenAPI 3.1 document, for the part of JSON Schema that ours use.

``hypothesis-jsonschema`` 0.23 does this in general, but its objects break with current Hypothesis.
"""

from __future__ import annotations

import re
from typing import Any

from hypothesis import strategies as st

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def made_up(schema: dict[str, Any], document: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Give a strategy for values that fit."""
    if "$ref" in schema:
        return made_up(_follow(schema["$ref"], document), document)
    if "allOf" in schema:
        return made_up(_merged([_resolved(part, document) for part in schema["allOf"]]), document)
    if "anyOf" in schema and not schema.get("properties"):
        return st.one_of([made_up(part, document) for part in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    types = schema.get("type")
    if types is None:
        return ANYTHING
    return st.one_of(
        [_of_type(each, schema, document) for each in ([types] if isinstance(types, str) else types)]
    )


def _of_type(name: str, schema: dict[str, Any], document: dict[str, Any]) -> st.SearchStrategy[Any]:
    match name:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer" | "number":
            return st.integers()
        case "string":
            pattern = schema.get("pattern")
            return (
                st.text(max_size=30)
                if pattern is None
                else st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)
            )
        case "array":
            return st.lists(made_up(schema.get("items", {}), document), max_size=5)
        case _:
            return _objects(schema, document)


def _objects(schema: dict[str, Any], document: dict[str, Any]) -> st.SearchStrategy[Any]:
    known = {name: made_up(part, document) for name, part in schema.get("properties", {}).items()}
    choices = [set(part["required"]) for part in schema.get("anyOf", ())] or [set[str]()]
    shapes: list[st.SearchStrategy[Any]] = []
    for choice in choices:
        needed = choice | set(schema.get("required", ()))
        required = {name: known.get(name, ANYTHING) for name in needed}
        shapes.append(
            st.fixed_dictionaries(required, optional={n: s for n, s in known.items() if n not in needed})
        )
    more = st.dictionaries(st.text(max_size=8).filter(lambda name: name not in known), ANYTHING, max_size=2)
    return st.tuples(st.one_of(shapes), more).map(lambda pair: pair[1] | pair[0])


def _follow(reference: str, document: dict[str, Any]) -> dict[str, Any]:
    found: Any = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return _follow(schema["$ref"], document) if "$ref" in schema else schema


def _merged(objects: list[dict[str, Any]]) -> dict[str, Any]:
    """Make one object schema of several that must all be fitted."""
    properties = {name: part for each in objects for name, part in each.get("properties", {}).items()}
    required = [name for each in objects for name in each.get("required", ())]
    return {"type": "object", "properties": properties, "required": required}
