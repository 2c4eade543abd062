"""The part of the configuration that says who may call."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gateway.settings.section import NAME, Name, Section
from gateway.settings.urls import check_url

JwtAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
ScopeName = Literal["messages:read", "messages:send", "search", "files"]
PatientId = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9_-]{0,127})$")]


class KeySettings(Section):
    """An API key of a service; the key itself is not known here, only its SHA-256."""

    id: Name
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")
    scopes: tuple[ScopeName, ...] = Field(min_length=1)
    patients: tuple[PatientId, ...] = Field(min_length=1)
    instances: tuple[Annotated[str, Field(pattern=rf"^{NAME}/{NAME}$")], ...] = Field(min_length=1)


class JwtSettings(Section):
    """Whose tokens are believed, and which of their claims say what."""

    issuer: str = Field(min_length=1)
    audience: str | tuple[str, ...] = Field(min_length=1)
    jwks_url: str = ""
    jwks_file: str = ""
    algorithms: tuple[JwtAlgorithm, ...] = Field(default=("RS256",), min_length=1)
    scopes_claim: str = Field(default="scope", min_length=1)
    patients_claim: str = Field(default="welkin_patients", min_length=1)
    leeway_seconds: float = Field(default=10, ge=0, le=300)
    instances: tuple[Annotated[str, Field(pattern=rf"^{NAME}/{NAME}$")], ...] = ()
    """Which instances its tokens open; needed where instances of several tenants are configured."""

    @model_validator(mode="after")
    def _check_source(self) -> JwtSettings:
        if bool(self.jwks_url) == bool(self.jwks_file):
            raise ValueError("give either jwks_url or jwks_file")
        if self.jwks_url:
            check_url(self.jwks_url)
        return self


class Auth(Section):
    """Who may call."""

    mode: Literal["none", "api-key", "jwt"] | tuple[Literal["api-key", "jwt"], ...]
    keys: tuple[KeySettings, ...] = ()
    jwt: JwtSettings | None = None

    @property
    def modes(self) -> frozenset[str]:
        """The modes side by side; empty for "none"."""
        modes = (self.mode,) if isinstance(self.mode, str) else self.mode
        return frozenset(modes) - {"none"}

    @model_validator(mode="after")
    def _check_modes(self) -> Auth:
        if self.mode == ():
            raise ValueError('mode must not be empty: "none", "api-key", "jwt", or a list of the last two')
        for mode, given, key in (("api-key", self.keys, "keys"), ("jwt", self.jwt, "jwt")):
            if mode in self.modes and not given:
                raise ValueError(f"mode {mode!r} needs auth.{key}")
            if mode not in self.modes and given:
                raise ValueError(f"auth.{key} means nothing without mode {mode!r}")
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("auth.keys: two keys have the same id")
        return self
