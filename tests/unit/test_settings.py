"""A configuration that cannot be used stops the start, and the text names every key that is wrong."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from gateway.graphql.limits import Limits
from gateway.settings import ConfigurationError, Settings, development, load, parse

INSTANCE = {
    "tenant": "gh",
    "instance": "sb-demo",
    "api": "v1",
    "base_url": "https://api.live.welkincloud.io",
    "client": "C",
    "secret": "s3cret-canary",
}
GOOD = {"auth": {"mode": "none"}, "instances": [INSTANCE]}
KEY = {
    "id": "billing",
    "sha256": "0" * 64,
    "scopes": ["messages:read"],
    "patients": ["*"],
    "instances": ["gh/sb-demo"],
}
JWT = {"issuer": "https://id.example.org/", "audience": "g", "jwks_url": "https://id.example.org/keys"}
EXAMPLE = Path("config/gateway.example.toml")


def with_instance(**changes: object) -> dict[str, object]:
    return GOOD | {"instances": [INSTANCE | changes]}


def with_key(**changes: object) -> dict[str, object]:
    return GOOD | {"auth": {"mode": "api-key", "keys": [KEY | changes]}}


def with_jwt(**changes: object) -> dict[str, object]:
    return GOOD | {"auth": {"mode": "jwt", "jwt": JWT | changes}}


def test_access_modes_can_stand_side_by_side_and_open_the_network():
    auth = {"mode": ["api-key", "jwt"], "keys": [KEY], "jwt": JWT}

    settings = parse(GOOD | {"auth": auth, "server": {"host": "0.0.0.0"}}, {})  # noqa: S104

    assert settings.auth.modes == {"api-key", "jwt"}


def test_the_least_configuration_is_closed_to_the_outside():
    settings = parse(GOOD, {})

    assert (settings.server.host, settings.server.graphiql) == ("127.0.0.1", False)
    assert (settings.graphql.introspection, settings.graphql.get_queries) == (False, False)
    assert (settings.server.cors_origins, settings.cache.ttl_seconds) == ((), 30)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({}, "auth: is missing"),
        ({"auth": {"mode": "none"}}, "instances: is missing"),
        (GOOD | {"instances": []}, "instances:"),
        (GOOD | {"auth": {"mode": "open"}}, "auth.mode"),
        (GOOD | {"auth": {"mode": []}}, "mode must not be empty"),
        (GOOD | {"auth": {"mode": ["none", "jwt"]}}, "auth.mode"),
        (GOOD | {"auth": {"mode": "api-key"}}, "mode 'api-key' needs auth.keys"),
        (GOOD | {"auth": {"mode": "jwt"}}, "mode 'jwt' needs auth.jwt"),
        (GOOD | {"auth": {"mode": "none", "keys": [KEY]}}, "auth.keys means nothing without mode 'api-key'"),
        (GOOD | {"auth": {"mode": "api-key", "keys": [KEY, KEY]}}, "two keys have the same id"),
        (with_key(sha256="canary"), "auth.keys[0].sha256"),
        (with_key(scopes=["everything"]), "auth.keys[0].scopes[0]"),
        (with_key(patients=["../x"]), "auth.keys[0].patients[0]"),
        (with_key(instances=["gh/other"]), "billing names an instance that is not configured"),
        (with_jwt(algorithms=["HS256"]), "auth.jwt.algorithms[0]"),
        (with_jwt(algorithms=["none"]), "auth.jwt.algorithms[0]"),
        (with_jwt(jwks_file="x"), "give either jwks_url or jwks_file"),
        (with_jwt(jwks_url=""), "give either jwks_url or jwks_file"),
        (with_jwt(instances=["gh/other"]), "auth.jwt.instances names an instance that is not configured"),
        (
            with_jwt() | {"instances": [INSTANCE, INSTANCE | {"tenant": "acme"}]},
            "auth.jwt.instances must say which of the tenants",
        ),
        (with_jwt(jwks_url="http://id.example.org/keys"), "must be https"),
        (GOOD | {"server": {"host": "0.0.0.0"}}, "server.host must be a loopback address"),  # noqa: S104
        (GOOD | {"server": {"prot": 1}}, "server.prot: is not a key"),
        (GOOD | {"server": {"port": 70000}}, "server.port"),
        (GOOD | {"server": {"cors_origins": ["app.example.org"]}}, "server.cors_origins"),
        (GOOD | {"server": {"cursor_keys": [""]}}, "server.cursor_keys[0]"),
        (GOOD | {"store": {"url": "redis:/h:6379/0"}}, "store.url"),
        (GOOD | {"store": {"url": "redis://h:6379/0"}}, "encryption_keys"),
        (GOOD | {"store": {"url": "redis://:canary@h:99999999/0"}}, "store.url"),
        (GOOD | {"store": {"url": "redis://h", "encryption_keys": ["canary"]}}, "store.encryption_keys[0]"),
        (GOOD | {"store": {"key_prefix": "a b"}}, "store.key_prefix"),
        (GOOD | {"cache": {"stale_if_error_seconds": -1}}, "cache.stale_if_error_seconds"),
        (GOOD | {"server": {"max_operations": 0}}, "server.max_operations"),
        (GOOD | {"server": {"max_streams": 0}}, "server.max_streams"),
        (with_instance(max_calls=0), "instances[0].max_calls"),
        (with_instance(webhook_pairs=[{"key": "k"}]), "instances[0].webhook_pairs[0].secret: is missing"),
        (
            with_instance(webhook_pairs=[{"key": "", "secret": "canary"}]),
            "instances[0].webhook_pairs[0].key",
        ),
        (GOOD | {"cache": {"ttl_seconds": -1}}, "cache.ttl_seconds"),
        (GOOD | {"telemetry": {"log_level": "LOUD"}}, "telemetry.log_level"),
        (with_instance(api="v3"), "instances[0].api"),
        (with_instance(base_url="ftp://host"), "instances[0].base_url: must be an http"),
        (with_instance(base_url="http://api.example.org"), "instances[0].base_url: must be https"),
        (with_instance(base_url="https://u:p@api.example.org"), "instances[0].base_url: must have no user"),
        (with_instance(base_url="https://api.example.org?x=1"), "instances[0].base_url: must have no user"),
        (with_instance(tenant="../x"), "instances[0].tenant"),
        (with_instance(client="a/b"), "instances[0].client"),
        (with_instance(base_url="https://h:99999"), "instances[0].base_url: must have a port"),
        (with_instance(base_url="https://h exa.org/a b"), "instances[0].base_url: must be an http"),
        (with_instance(token_url="https://h:x"), "instances[0].token_url: must have a port"),
        (GOOD | {"server": {"cors_origins": ["https://u:p@app.example.org"]}}, "server.cors_origins"),
        (GOOD | {"server": {"cursor_keys": ["short"]}}, "server.cursor_keys[0]"),
        (with_instance(secret=""), "instances[0].secret"),
        (with_instance(secret="${MISSING}"), "instances[0].secret: the environment variable MISSING"),
        (with_instance(webhook_key="k"), "webhook_key and webhook_secret go together"),
        (with_instance(timeout_seconds=0), "instances[0].timeout_seconds"),
        (with_instance(order="newest_first"), "order mean nothing with api = 'v1'"),
        (with_instance(surprise=1), "instances[0].surprise: is not a key"),
        (GOOD | {"instances": [INSTANCE, INSTANCE]}, "same tenant and instance"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_shown(data, named):
    with pytest.raises(ConfigurationError) as refused:
        parse(data, {})

    assert named in str(refused.value)
    assert "canary" not in str(refused.value)


def test_every_problem_is_told_at_once_and_no_other():
    with pytest.raises(ConfigurationError) as refused:
        parse(with_instance(api="v3", surprise=1, secret="${NO}") | {"cache": {"ttl": 1}}, {})

    told = str(refused.value)
    wrong = ("instances[0].api", "instances[0].surprise", "instances[0].secret", "cache.ttl")
    assert all(key in told for key in wrong)
    assert len(told.splitlines()) == 1 + len(wrong)


def test_what_kubernetes_puts_into_the_environment_is_not_ours():
    environment = {"GATEWAY_PORT": "tcp://h:8000", "GATEWAY_SERVICE_HOST": "h", "GATEWAY_PORT_8000_TCP": "x"}

    assert development(8000, "http://127.0.0.1:1", environment).server.port == 8000


def test_the_environment_overrides_the_file_and_fills_references(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(EXAMPLE.read_text())
    environment = {
        "GATEWAY_CONFIG": str(path),
        "WELKIN_SECRET": "s",
        "WEBHOOK_KEY": "k",
        "WEBHOOK_SECRET": "w",
        "GATEWAY_SERVER__PORT": "9000",
        "GATEWAY_SERVER__CORS_ORIGINS": '["https://app.example.org"]',
    }

    settings = load(None, environment)

    assert (settings.server.port, settings.server.cors_origins) == (9000, ("https://app.example.org",))
    assert settings.instances[0].secret.get_secret_value() == "s"
    assert "'s'" not in repr(settings)


@pytest.mark.parametrize("name", ["GATEWAY_SERVER__PROT", "GATEWAY_SEVER__PORT", "GATEWAY_SERVER_PORT"])
def test_an_environment_variable_that_names_no_key_stops_the_start(name):
    with pytest.raises(ConfigurationError, match="is not a key of the configuration"):
        development(0, "http://127.0.0.1:1", {name: "1"})


@pytest.mark.parametrize(
    ("content", "text"),
    [("[server", "is not TOML"), (None, "cannot be read"), (b"\xff\xfe", "cannot be read")],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, text):
    path = tmp_path / "gateway.toml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ConfigurationError, match=f"gateway.toml: {text}"):
        load(path, {})


def test_the_example_names_every_key():
    text = EXAMPLE.read_text()
    sections = Settings.model_fields
    instance = sections["instances"].annotation.__args__[0]

    for name, field in sections.items():
        keys = instance if name == "instances" else field.annotation
        for key in keys.model_fields:
            assert re.search(rf"^(# )?{key} = ", text, re.MULTILINE), f"{name}.{key}"


def test_every_limit_of_an_operation_can_be_chosen():
    example = re.search(r"^# limits = \{(.*)\}$", EXAMPLE.read_text(), re.MULTILINE)
    chosen = parse(GOOD | {"graphql": {"limits": {"characters": 5_000}}}, {}).graphql.limits

    assert example is not None
    shown = dict(each.split(" = ") for each in example[1].split(", "))
    defaults = asdict(Limits())
    assert parse(GOOD, {}).graphql.limits.model_dump() == defaults
    assert shown == {name: str(value) for name, value in defaults.items()}
    assert Limits(**chosen.model_dump()).characters == 5_000


def test_the_development_configuration_serves_both_versions_on_the_loopback():
    settings = development(8000, "http://127.0.0.1:8001", {})

    assert [(str(i.tenant), i.instance, i.api) for i in settings.instances] == [
        ("gh", "sb-demo", "v1"),
        ("acme-health", "live", "v2"),
    ]
    assert settings.server.graphiql
