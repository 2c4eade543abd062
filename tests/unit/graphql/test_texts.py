"""Which texts run: those that were sent, those known by their hash, or the trusted ones alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gateway.graphql.documents import Refused
from gateway.graphql.execution import Executor, Request
from gateway.graphql.texts import MAX_TEXTS, PersistedTexts, TrustedTexts, load_trusted

TEXT = "{ __typename }"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def code_of(texts: PersistedTexts | TrustedTexts, *asked: str | None) -> str:
    with pytest.raises(Refused) as refused:
        texts.find(*asked)
    return refused.value.errors[0]["extensions"]["code"]


def test_a_text_is_known_by_its_hash_once_it_was_kept() -> None:
    texts = PersistedTexts()
    assert code_of(texts, None, None, sha(TEXT)) == "PERSISTED_QUERY_NOT_FOUND"

    texts.keep(texts.find(TEXT, None, sha(TEXT)), sha(TEXT))

    assert texts.find(None, None, sha(TEXT)) == TEXT


def test_a_text_under_a_foreign_hash_is_refused() -> None:
    assert code_of(PersistedTexts(), TEXT, None, sha("{ other }")) == "BAD_USER_INPUT"
    assert code_of(TrustedTexts({"a": TEXT}), TEXT, None, sha("{ other }")) == "BAD_USER_INPUT"


def test_few_texts_are_kept_and_no_long_one() -> None:
    texts = PersistedTexts()
    for number in range(MAX_TEXTS + 20):
        texts.keep(f"{number}", sha(f"{number}"))
        texts.find(None, None, sha("0"))
    texts.keep("x" * 20_000, sha("x" * 20_000))

    assert len(texts) == MAX_TEXTS
    assert texts.find(None, None, sha("0")) == "0"
    assert code_of(texts, None, None, sha("1")) == "PERSISTED_QUERY_NOT_FOUND"


def test_a_text_that_cannot_run_is_not_kept() -> None:
    executor = Executor(introspection=False)
    for text in ("{", "{ nope }"):
        with pytest.raises(Refused):
            executor.prepare(Request(text, sha256=sha(text)), "r")
        with pytest.raises(Refused) as refused:
            executor.prepare(Request(None, sha256=sha(text)), "r")
        assert refused.value.errors[0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


def test_half_of_a_surrogate_pair_is_refused_like_any_wrong_text() -> None:
    assert code_of(PersistedTexts(), "\ud83d", None, sha(TEXT)) == "BAD_USER_INPUT"


def test_trusted_documents_run_by_id_by_hash_and_by_their_text(tmp_path: Path) -> None:
    (tmp_path / "name.graphql").write_text(TEXT, "utf-8")
    (tmp_path / "notes.txt").write_text("{ other }", "utf-8")
    texts = TrustedTexts(load_trusted(tmp_path))

    assert texts.find(None, "name", None) == TEXT
    assert texts.find(None, sha(TEXT), None) == TEXT
    assert texts.find(None, None, sha(TEXT)) == TEXT
    assert texts.find(TEXT, None, sha(TEXT)) == TEXT


@pytest.mark.parametrize(
    "asked",
    [("{ other }", None, None), ("{__typename}", None, None), (None, "other", None), (None, None, sha("x"))],
)
def test_nothing_else_runs(asked: tuple[str | None, ...]) -> None:
    texts = TrustedTexts({"name": TEXT})
    texts.keep("{ other }", sha("{ other }"))

    assert code_of(texts, *asked) == "FORBIDDEN"


def test_a_folder_without_documents_is_refused(tmp_path: Path) -> None:
    """It would be a gateway that serves nobody."""
    with pytest.raises(ValueError, match="holds no"):
        load_trusted(tmp_path)
    with pytest.raises(ValueError, match="holds no"):
        load_trusted(tmp_path / "missing")


def test_a_trusted_document_that_cannot_run_stops_the_start() -> None:
    with pytest.raises(ValueError, match="document old cannot run: GRAPHQL_VALIDATION_FAILED"):
        Executor(introspection=False, trusted={"old": "{ gone }"})


def test_every_example_can_be_trusted() -> None:
    folder = Path(__file__).parents[3] / "schema" / "operations"

    Executor(introspection=False, trusted=load_trusted(folder))
