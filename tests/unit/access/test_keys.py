"""API keys: whose a key is, rotation, and mistakes in the configuration."""

from __future__ import annotations

import hashlib

import pytest

from gateway.access.keys import ApiKeys, configured_key
from gateway.domain.access import Principal, Scope
from gateway.domain.model import InstanceName

GH = InstanceName("gh", "sb-demo")


def sha(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def make(key_id: str = "billing", key: str = "s3cret-key", **changes: object):
    words: dict[str, object] = {"scopes": ["search"], "patients": ["p1"], "instances": ["gh/sb-demo"]}
    return configured_key(key_id, sha(key), **(words | changes))


def test_a_key_tells_whose_it_is():
    keys = ApiKeys([make(), make("lab", "other", patients=["*"], scopes=["messages:read", "files"])])

    assert keys.find(b"s3cret-key") == Principal(
        "key:billing", frozenset({Scope.SEARCH}), frozenset({"p1"}), frozenset({GH})
    )
    assert keys.find(b"other") == Principal(
        "key:lab", frozenset({Scope.READ, Scope.FILES}), None, frozenset({GH})
    )


@pytest.mark.parametrize(
    "presented", [b"", b"s3cret-key ", b"S3cret-key", b"\xff\x00", sha("s3cret-key").encode(), b"x" * 100_000]
)
def test_what_is_no_key_is_nobodys(presented: bytes):
    assert ApiKeys([make()]).find(presented) is None


def test_an_old_and_a_new_key_are_good_together_until_the_old_one_is_taken_out():
    old, new = make("billing", "old"), make("billing-2", "new")

    both, later = ApiKeys([old, new]), ApiKeys([new])

    assert both.find(b"old") is not None
    assert both.find(b"new") is not None
    assert later.find(b"old") is None


def test_a_key_that_is_not_ascii_goes_by_its_bytes():
    assert ApiKeys([make(key="schlüssel")]).find("schlüssel".encode()) is not None


@pytest.mark.parametrize(
    "mistake",
    [
        lambda: configured_key("billing", "abc", scopes=[], patients=[], instances=[]),
        lambda: configured_key("billing", "g" * 64, scopes=[], patients=[], instances=[]),
        lambda: make(scopes=["messages:write"]),
        lambda: make(instances=["gh"]),
        lambda: make(instances=["gh/a/b"]),
        lambda: ApiKeys([make(), make(key="another")]),
        lambda: ApiKeys([make("lab"), make()]),
    ],
)
def test_a_mistake_is_told_by_the_keys_id_and_shows_no_hash(mistake):
    with pytest.raises(ValueError, match="key billing") as caught:
        mistake()

    assert sha("s3cret-key") not in str(caught.value)


def test_no_repr_shows_a_hash_or_a_patient():
    text = repr(make(patients=["canary-patient"]))

    assert sha("s3cret-key") not in text
    assert "canary-patient" not in text
