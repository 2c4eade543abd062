"""Configuration: a TOML file and the environment, checked as a whole before anything starts.

Every problem is reported at once, by key. Values of secrets never stand in a message.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

PREFIX = "GATEWAY_"
_STANDS_IN = "not-set-in-the-environment"
_CONFIG_VARIABLE = "GATEWAY_CONFIG"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ORIGIN = r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?"
_KUBERNETES = re.compile(r"GATEWAY_(SERVICE_HOST|SERVICE_PORT.*|PORT(_[0-9].*)?)")
"""What Kubernetes puts into the environment of a Service's neighbours, here one named "gateway"."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"

Name = Annotated[str, Field(pattern=f"^{_NAME}$")]
Secret = Annotated[SecretStr, Field(min_length=1)]


class ConfigurationError(Exception):
    """The configuration cannot be used; the text lists every problem by its key."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Server(_Section):
    """Where the gateway listens, and what a browser may do."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    graphiql: bool = False
    cors_origins: tuple[str, ...] = ()
    cursor_keys: tuple[Annotated[SecretStr, Field(min_length=16)], ...] = ()

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(_ORIGIN, origin) for origin in origins):
            raise ValueError("an origin looks like https://app.example.org, without a path")
        return origins


class Store(_Section):
    """Where cached reads and idempotency keys are kept."""

    url: str = "memory://"

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if url != "memory://":
            raise ValueError('only "memory://" is served so far')
        return url


class Graphql(_Section):
    """What the GraphQL endpoint allows."""

    introspection: bool = False
    get_queries: bool = False
    trusted_documents: str = ""

    @field_validator("trusted_documents")
    @classmethod
    def _check_trusted(cls, folder: str) -> str:
        if folder:
            raise ValueError("trusted documents are not served yet; leave the key out")
        return folder


class Auth(_Section):
    """Who may call."""

    mode: Literal["none"]


class Telemetry(_Section):
    """What is told about what happens."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    audit_file: str = ""

    @field_validator("audit_file")
    @classmethod
    def _check_audit(cls, path: str) -> str:
        if path:
            raise ValueError("an audit file is not written yet; leave the key out")
        return path


class Cache(_Section):
    """How long a read may be served again, in seconds; 0 keeps nothing."""

    ttl_seconds: float = Field(default=30, ge=0, le=3600)


class InstanceSettings(_Section):
    """One Welkin instance behind the gateway."""

    tenant: Name
    instance: Name
    api: Literal["v1", "v2"]
    base_url: str
    client: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$")
    secret: Secret
    webhook_key: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    events_secret: SecretStr | None = None
    """Signs the generic platform webhook; left out, only webhook_key and webhook_secret open it."""
    events_signature_header: str = Field(default="X-Welkin-Signature", pattern=r"^[A-Za-z0-9-]+$")
    events_timestamp_header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    """If given, its value and a dot stand before the body in what is signed."""
    events_tolerance_seconds: float = Field(default=300, gt=0, le=86400)
    reconcile_seconds: float = Field(default=30, gt=0, le=3600)
    timeout_seconds: float = Field(default=10, gt=0, le=300)
    token_url: str | None = None
    """Where upstream tokens come from, if not from the version's usual place below ``base_url``."""
    patients_segment: Literal["patients", "patient"] = "patients"
    """v1: the path segment before a patient's id; Welkin's own pages write both (D1)."""
    path_prefix: str = Field(
        default="/{tenant}/{instance}", pattern=r"^(/([A-Za-z0-9_-]+|\{tenant\}|\{instance\}))*$"
    )
    """v2: what stands between base URL and endpoint; one page of Welkin's shows ``/v1/{tenant}`` (D2)."""
    order: Literal["auto", "newest_first", "oldest_first"] = "auto"
    """v2: how the upstream orders a conversation; ``auto`` finds out from the times (undocumented)."""

    @field_validator("base_url", "token_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or re.search(r"[\s\\]", url):
            raise ValueError("must be an http or https URL with a host")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("must have a port between 0 and 65535, or none") from None
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must have no user, query or fragment")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("must be https unless the host is this machine")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _check_version(self) -> InstanceSettings:
        foreign = {"v1": {"path_prefix", "order"}, "v2": {"patients_segment"}}[self.api]
        misplaced = sorted(foreign & self.model_fields_set)
        if misplaced:
            raise ValueError(f"{' and '.join(misplaced)} mean nothing with api = {self.api!r}")
        return self

    @model_validator(mode="after")
    def _check_webhook_pair(self) -> InstanceSettings:
        given = [bool(s and s.get_secret_value()) for s in (self.webhook_key, self.webhook_secret)]
        if any(given) and not all(given):
            raise ValueError("webhook_key and webhook_secret go together")
        return self


class Settings(_Section):
    """The whole configuration."""

    server: Server = Server()
    store: Store = Store()
    graphql: Graphql = Graphql()
    auth: Auth
    telemetry: Telemetry = Telemetry()
    cache: Cache = Cache()
    instances: tuple[InstanceSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_whole(self) -> Settings:
        if self.auth.mode == "none" and not is_loopback(self.server.host):
            raise ValueError(
                'auth.mode "none" lets everybody in: server.host must be a loopback address (127.0.0.1)'
            )
        names = [(each.tenant, each.instance) for each in self.instances]
        if len(set(names)) < len(names):
            raise ValueError("instances: two of them have the same tenant and instance")
        return self


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's own.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


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
