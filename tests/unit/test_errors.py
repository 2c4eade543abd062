"""An error of which all has been said holds nothing that it passed through."""

from __future__ import annotations

import gc
import weakref

from graphql import GraphQLError

from gateway.domain.errors import NotFound, UpstreamTimeout, UpstreamUnavailable, let_go


class Read:
    """What an operation read."""


def time_out() -> None:
    raise UpstreamTimeout("inside")


def fail(read: Read, seen: list[weakref.ref[Read]]) -> None:
    seen.append(weakref.ref(read))
    try:
        time_out()
    except UpstreamTimeout as error:
        raise UpstreamUnavailable("outside") from error


def failed(seen: list[weakref.ref[Read]]) -> UpstreamUnavailable:
    """Give an error whose frames hold it."""
    try:
        fail(Read(), seen)
    except UpstreamUnavailable as error:
        held = error
    return held


def test_what_an_error_passed_through_is_freed():
    seen: list[weakref.ref[Read]] = []
    gc.disable()
    try:
        error = failed(seen)
        inside = error.__cause__
        assert seen[0]() is not None
        let_go(error)

        assert seen[0]() is None
    finally:
        gc.enable()
    assert isinstance(inside, UpstreamTimeout)
    assert (error.__traceback__, inside.__traceback__) == (None, None)
    assert error.message == "outside"


def test_the_error_inside_of_one_that_was_never_raised_lets_go_too():
    seen: list[weakref.ref[Read]] = []
    let_go(GraphQLError("shown", original_error=failed(seen)), NotFound("never raised"))

    assert seen[0]() is None


def test_errors_that_name_each_other_are_gone_through_once():
    one, other = NotFound("one"), NotFound("other")
    one.__cause__, other.__cause__ = other, one
    let_go(one)

    assert (one.__cause__, other.__cause__) == (None, None)
