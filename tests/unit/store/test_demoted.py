"""A replica's refusal is known in every form that Redis gives it."""

from __future__ import annotations

import pytest
from redis.exceptions import MasterDownError, NoScriptError, OutOfMemoryError, ReadOnlyError, ResponseError

from gateway.store.pool import demoted

IN_A_SCRIPT = (
    "Error running script (call to f_e0e1): @user_script:1: "
    "@user_script: 1: -READONLY You can't write against a read only replica."
)


@pytest.mark.parametrize(
    "error",
    [
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError(IN_A_SCRIPT),
        MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
    ],
)
def test_a_replicas_refusal_is_known(error: ResponseError):
    assert demoted(error)


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        NoScriptError("No matching script."),
        ResponseError("NOREPLICAS Not enough good replicas to write."),
    ],
)
def test_other_refusals_are_not_taken_for_one(error: ResponseError):
    assert not demoted(error)
