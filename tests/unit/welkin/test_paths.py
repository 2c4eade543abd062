"""Ids that would leave their path segment are refused before there is a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import BadInput
from gateway.welkin.paths import PathTemplate, with_query
from tests.hostile import HOSTILE_IDS

CHAT = PathTemplate("/{tenant}/{instance}/patients/{patient_id}/chat")


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_a_hostile_id_is_refused(hostile: str) -> None:
    with pytest.raises(BadInput, match=r"^patientId must be") as caught:
        CHAT.fill(tenant="gh", instance="sb-demo", patient_id=hostile)

    assert len(hostile) < len("a b") or hostile not in caught.value.message


@given(st.text())
def test_whatever_is_filled_in_stays_one_segment(value: str) -> None:
    try:
        path = CHAT.fill(tenant="gh", instance="sb-demo", patient_id=value)
    except BadInput:
        return

    assert path == f"/gh/sb-demo/patients/{value}/chat"
    assert path.count("/") == 5


@pytest.mark.parametrize("text", ["patients", "/a/{x", "/a//b", "/{a}{b}", "/a/..", "/a?b", "/a-{id}"])
def test_a_crooked_template_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="Not a path template"):
        PathTemplate(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_query_value_cannot_start_another_parameter(value: str) -> None:
    path = with_query("/chat", [("pageToken", value)])

    assert path.startswith("/chat?pageToken=")
    assert path.isascii()
    assert not set(path.removeprefix("/chat?pageToken=")) & set("&=#?/+ ")
