"""Reading the configuration: a TOML file and the environment, every problem reported at once, by key."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from gateway.settings.sections import Settings

PREFIX = "GATEWAY_"
_STANDS_IN = "not-set-in-the-environment"
_CONFIG_VARIABLE = "GATEWAY_CONFIG"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_KUBERNETES = re.compile(r"GATEWAY_(SERVICE_HOST|SERVICE_PORT.*|PORT(_[0-9].*)?)")
"""What Kubernetes puts into the environment of a Service's neighbours, here one named "gateway"."""


class ConfigurationError(Exception):
    """The configuration cannot be used; the text lists every problem by its key."""


def development(port: int, sandbox_url: str, environment: Mapping[str, str] = os.environ) -> Settings:
    """Give the configuration of ``gateway dev``: a v1 and a v2 instance of the embedded sandbox.

    Raises:
        ConfigurationError: an environment variable that overrides it is wrong.
    """
    hooks = {"webhook_key": "sandbox-webhook-key", "webhook_secret": "sandbox-webhook-secret"}
    common = {"secret": "sandbox-secret", **hooks}
    data: dict[str, Any] = {
        "server": {"port": port, "graphiql": True},
        "graphql": {"introspection": True, "get_queries": True},
        "auth": {"mode": "none"},
        "instances": [
            {"tenant": "gh", "instance": "sb-demo", "api": "v1", "client": "SANDBOXV1", **common}
            | {"base_url": f"{sandbox_url}/v1"},
            {"tenant": "acme-health", "instance": "live", "api": "v2", "client": "SANDBOXV2", **common}
            | {"base_url": f"{sandbox_url}/v2"},
        ],
    }
    _override(data, environment)
    return parse(data, environment)


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the configuration.

    Raises:
        ConfigurationError: it cannot be read or used; the text names every key that is wrong.
    """
    if path is None and environment.get(_CONFIG_VARIABLE):
        path = Path(environment[_CONFIG_VARIABLE])
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(f"{path}: cannot be read: {type(error).__name__}") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{path}: is not TOML: {error}") from error
    _override(data, environment)
    return parse(data, environment)


def parse(data: dict[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """Check configuration data, with ``${NAME}`` in strings read from the environment.

    Raises:
        ConfigurationError: the text names every key that is wrong.
    """
    problems: list[str] = []
    data = cast("dict[str, Any]", _resolve(data, environment, "", problems))
    try:
        settings = Settings.model_validate(data)
        if not problems:
            return settings
    except ValidationError as error:
        found = error.errors()
        if len(found) > 1:  # an instance that is wrong does not count, which is no problem of its own
            found = [each for each in found if (each["type"], each["loc"]) != ("too_short", ("instances",))]
        problems += [_explain(each["loc"], each["type"], each["msg"]) for each in found]
    raise ConfigurationError("The configuration cannot be used:\n" + "\n".join(f"  {p}" for p in problems))


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = _name(location)
    match kind:
        case "extra_forbidden":
            return f"{key}: is not a key of the configuration"
        case "missing":
            return f"{key}: is missing"
        case _:
            text = message.removeprefix("Value error, ")
            return f"{key}: {text}" if key else text


def _name(location: tuple[int | str, ...]) -> str:
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def _override(data: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Lay ``GATEWAY_<SECTION>__<KEY>`` over the file; lists are given as TOML."""
    for name, value in environment.items():
        if not name.startswith(PREFIX) or name == _CONFIG_VARIABLE or _KUBERNETES.fullmatch(name):
            continue
        *sections, key = name.removeprefix(PREFIX).lower().split("__")
        place = data
        for section in sections:
            inner: Any = place.setdefault(section, {})
            if isinstance(inner, list) and section != sections[-1]:
                raise ConfigurationError(f"{name}: lists are set in the file, or whole")
            if not isinstance(inner, dict):
                raise ConfigurationError(f"{name}: {section} is not a section")
            place = cast("dict[str, Any]", inner)
        place[key] = _literal(value)


def _literal(value: str) -> Any:
    """Read a value as TOML would where it looks like a list or a table, else leave it a string."""
    if value[:1] in {"[", "{"}:
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return value
    return value


def _resolve(value: Any, environment: Mapping[str, str], key: str, problems: list[str]) -> Any:
    match value:
        case str():
            missing = [name for name in _REFERENCE.findall(value) if not environment.get(name)]
            problems += [f"{key}: the environment variable {name} is not set" for name in missing]
            return _REFERENCE.sub(lambda found: environment.get(found[1]) or _STANDS_IN, value)
        case dict():
            table = cast("dict[str, Any]", value)
            return {
                name: _resolve(each, environment, f"{key}.{name}" if key else name, problems)
                for name, each in table.items()
            }
        case list():
            items = cast("list[Any]", value)
            return [
                _resolve(each, environment, f"{key}[{index}]", problems) for index, each in enumerate(items)
            ]
        case _:
            return value
