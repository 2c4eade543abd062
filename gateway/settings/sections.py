"""The configuration as values: one class a section, each checking what it holds."""

from __future__ import annotations

import re
import ssl
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.settings.access import Auth
from gateway.settings.section import Name, Secret, Section
from gateway.settings.urls import check_url, is_loopback

_REDIS = r"rediss?://([^@/\s]*@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[0-9]{1,5})?"
_ORIGIN = r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?"


class Server(Section):
    """Where the gateway listens, and what a browser may do."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    graphiql: bool = False
    cors_origins: tuple[str, ...] = ()
    cursor_keys: tuple[Annotated[SecretStr, Field(min_length=16)], ...] = ()
    drain_seconds: float = Field(default=1, ge=0, le=5)
    """How long connections are still taken after the order to stop, so that a balancer sees it."""
    max_operations: int = Field(default=512, ge=1, le=100_000)
    """Queries and mutations under way at once; more are answered 503 at once."""
    max_streams: int = Field(default=20_000, ge=1, le=1_000_000)
    """WebSockets and event streams open at once."""
    max_streams_per_caller: int = Field(default=0, ge=0)
    """The same for one caller; 0: any number."""
    max_files_per_caller: int = Field(default=4, ge=0)
    """File transfers under way at once for one caller; 0: any number."""

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(_ORIGIN, origin) for origin in origins):
            raise ValueError("an origin looks like https://app.example.org, without a path")
        return origins


class Store(Section):
    """Where cached reads, upstream tokens and idempotency keys are kept."""

    url: SecretStr = SecretStr("memory://")
    """Secret, since a Redis URL may hold a password."""
    encryption_keys: tuple[Annotated[SecretStr, Field(min_length=16)], ...] = ()
    """Encrypt what is kept in Redis, newest first."""
    key_prefix: str = Field(default="welkin-gateway", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """What the names of all keys and channels in Redis begin with."""

    @property
    def is_redis(self) -> bool:
        """Whether a Redis is shared with other processes."""
        return self.url.get_secret_value() != "memory://"

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        if text != "memory://" and re.fullmatch(_REDIS, text) is None:
            raise ValueError('must be "memory://" or look like redis://host:6379/0 (rediss:// for TLS)')
        return url

    @model_validator(mode="after")
    def _check_keys(self) -> Store:
        if self.is_redis and not self.encryption_keys:
            raise ValueError("encryption_keys are needed with Redis: what is kept there is encrypted")
        return self


class LimitSettings(Section):
    """How much one operation may ask for, its fragments expanded."""

    depth: int = Field(default=10, ge=1, le=100)
    aliases: int = Field(default=15, ge=0, le=1_000)
    directives: int = Field(default=50, ge=0, le=1_000)
    tokens: int = Field(default=1_000, ge=10, le=100_000)
    characters: int = Field(default=128 * 1024, ge=100, le=1024 * 1024)
    root_fields: int = Field(default=20, ge=1, le=1_000)
    cost: int = Field(default=10_000, ge=1, le=10_000)
    """Records that one operation may show."""


class Graphql(Section):
    """What the GraphQL endpoint allows."""

    introspection: bool = False
    get_queries: bool = False
    trusted_documents: str = ""
    """A folder of operations; set, only those run."""
    operations_per_minute: int = Field(default=0, ge=0)
    """How many operations one caller may begin in a minute; 0: any number."""
    limits: LimitSettings = LimitSettings()


class Telemetry(Section):
    """What is told about what happens."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    audit_file: str = ""
    """A path, or "-" for standard output; empty for no audit trail."""
    audit_strict: bool = True
    """Whether nothing is read while the audit trail cannot be written."""
    audit_key: SecretStr | None = None
    """Hashes patients' ids in the audit trail; left out, each instance's secret does."""
    metrics_token: SecretStr | None = None
    """If given, /metrics is shown only to who sends it as a Bearer token."""


class Cache(Section):
    """How long a read may be served again, in seconds; 0 keeps nothing."""

    ttl_seconds: float = Field(default=30, ge=0, le=3600)
    stale_if_error_seconds: float = Field(default=30, ge=0, le=86_400)
    """How much older a copy may be that stands in while Welkin is down; 0: none stands in."""


class WebhookPair(Section):
    """A key and a secret that Welkin's webhook may come with."""

    key: Secret
    secret: Secret


class InstanceSettings(Section):
    """One Welkin instance behind the gateway."""

    tenant: Name
    instance: Name
    api: Literal["v1", "v2"]
    base_url: str
    client: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$")
    secret: Secret
    webhook_key: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    webhook_pairs: tuple[WebhookPair, ...] = ()
    """Further pairs that are valid at the same time, for rotation."""
    events_secret: SecretStr | None = None
    """Signs the generic platform webhook; left out, only webhook_key and webhook_secret open it."""
    events_signature_header: str = Field(default="X-Welkin-Signature", pattern=r"^[A-Za-z0-9-]+$")
    events_timestamp_header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    """If given, its value and a dot stand before the body in what is signed."""
    events_tolerance_seconds: float = Field(default=300, gt=0, le=86400)
    reconcile_seconds: float = Field(default=30, gt=0, le=3600)
    timeout_seconds: float = Field(default=10, gt=0, le=300)
    max_calls: int = Field(default=64, ge=1, le=10_000)
    """Calls to Welkin under way at once; four times as many may wait for their turn."""
    token_url: str | None = None
    """Where upstream tokens come from, if not from the version's usual place below ``base_url``."""
    patients_segment: Literal["patients", "patient"] = "patients"
    """v1: the path segment before a patient's id; Welkin's own pages write both (D1)."""
    ca_file: str = ""
    """Certificates (PEM) that Welkin's has to be signed by, in place of those that the system trusts."""
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
        check_url(url)
        return url.rstrip("/")

    @field_validator("ca_file")
    @classmethod
    def _check_ca_file(cls, path: str) -> str:
        if path:
            try:
                ssl.create_default_context(cafile=path)
            except OSError as error:  # an SSLError is one
                raise ValueError(
                    f"no certificates in PEM can be read there ({type(error).__name__})"
                ) from error
        return path

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


class Settings(Section):
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
        known = {f"{each.tenant}/{each.instance}" for each in self.instances}
        for key in self.auth.keys:
            if not known.issuperset(key.instances):
                raise ValueError(f"auth.keys: {key.id} names an instance that is not configured")
        jwt = self.auth.jwt
        if jwt is not None and not known.issuperset(jwt.instances):
            raise ValueError("auth.jwt.instances names an instance that is not configured")
        if jwt is not None and not jwt.instances and len({each.tenant for each in self.instances}) > 1:
            raise ValueError("auth.jwt.instances must say which of the tenants its tokens open")
        names = [(each.tenant, each.instance) for each in self.instances]
        if len(set(names)) < len(names):
            raise ValueError("instances: two of them have the same tenant and instance")
        return self
