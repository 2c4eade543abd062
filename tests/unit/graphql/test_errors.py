"""Errors as clients and logs see them: codes always, values never."""

from __future__ import annotations

import logging

import pytest
from graphql import GraphQLError

from gateway.domain.errors import BadInput, UpstreamRateLimited
from gateway.graphql.errors import log_errors, own_error, show_error, show_execution_error, show_fault


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_our_own_error_is_found_however_deep_it_is_wrapped() -> None:
    ours = BadInput("first must be between 0 and 200.")

    assert own_error(GraphQLError("x", original_error=GraphQLError("y", original_error=ours))) is ours
    assert own_error(GraphQLError("x", original_error=ValueError("y"))) is None
    assert own_error(None) is None


def test_waiting_time_is_shown_where_it_is_known() -> None:
    assert show_error(UpstreamRateLimited("Slow down.", 2.0))["extensions"] == {
        "code": "UPSTREAM_RATE_LIMITED",
        "retryAfter": 2.0,
    }
    assert show_error(UpstreamRateLimited("Slow down."))["extensions"] == {"code": "UPSTREAM_RATE_LIMITED"}


def test_a_fault_is_masked_and_logged_by_kind_and_place(caplog: pytest.LogCaptureFixture) -> None:
    fault = raised(KeyError("canary"))

    with caplog.at_level(logging.DEBUG):
        shown = show_fault(fault, "r-7")
        log_errors([GraphQLError("canary", original_error=fault, path=["patient", "messages", 3])], "r-8")

    assert shown["extensions"] == {"code": "INTERNAL", "requestId": "r-7"}
    assert "canary" not in str(shown)
    assert "canary" not in caplog.text
    assert [record.getMessage().partition(" at=")[0] for record in caplog.records] == [
        "error code=INTERNAL path= request=r-7 class=KeyError",
        "error code=INTERNAL path=patient.messages.3 request=r-8 class=KeyError",
    ]
    assert all("at=test_errors.py:" in record.getMessage() for record in caplog.records)


def test_an_error_of_the_library_itself_is_masked() -> None:
    shown = show_execution_error(GraphQLError("Expected Iterable, but got canary", path=["nodes"]), "r-1")

    assert shown == {
        "message": "An internal error occurred. The request id finds it in the log.",
        "extensions": {"code": "INTERNAL", "requestId": "r-1"},
        "path": ["nodes"],
    }


def test_our_own_errors_are_logged_without_their_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        log_errors([GraphQLError("x", original_error=BadInput("canary"), path=["patient"])], "r-1")

    assert [record.getMessage() for record in caplog.records] == [
        "error code=BAD_USER_INPUT path=patient request=r-1"
    ]
