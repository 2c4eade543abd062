"""What can be turned, struck or called stands in the sandbox's page."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from gateway.sandbox import Knobs, create_sandbox
from gateway.sandbox.control import routes
from gateway.sandbox.faults import ALL, ARGUMENTS, Operation
from gateway.sandbox.knobs import UnknownKnob, turn

PAGE = (Path(__file__).parents[3] / "docs" / "sandbox.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Knobs)])
def test_every_knob_is_on_the_page(name):
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", sorted(ALL | frozenset(get_args(Operation))))
def test_every_fault_and_operation_is_on_the_page(name):
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", sorted({each for names in ARGUMENTS.values() for each in names}))
def test_every_argument_of_a_fault_is_on_the_page(name):
    assert f"`{name}`" in PAGE


def test_every_control_endpoint_is_on_the_page():
    paths = {route.path for route in routes(create_sandbox().state.sandbox)}

    assert [path for path in sorted(paths) if f"{path}`" not in PAGE] == []


def test_arguments_belong_to_faults_that_exist():
    assert set(ARGUMENTS) <= ALL


def test_turning_gives_new_knobs_and_leaves_the_old():
    old = Knobs()

    assert turn(old, {"v1_token_status": 201}).v1_token_status == 201
    assert old == Knobs()
    with pytest.raises(UnknownKnob, match="v1_token_status"):
        turn(old, {"v1_token_status": 202})
