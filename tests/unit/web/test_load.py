"""The places for operations: never more than there are, and some for each instance whatever the others do."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import Overloaded
from gateway.domain.model import InstanceName
from gateway.web.load import Load

NAMES = [InstanceName("t", f"i{number}") for number in range(4)]

steps = st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=80)


@given(limit=st.integers(1, 40), instances=st.integers(1, 4), steps=steps)
def test_places_are_never_more_than_there_are_and_each_instance_has_its_own(limit, instances, steps):
    load = Load(limit, instances)
    held: dict[InstanceName, list[AbstractContextManager[None]]] = {name: [] for name in NAMES[:instances]}
    own = limit // (4 * instances) if instances > 1 else 0

    for name, comes in steps:
        mine = held.get(name)
        if mine is None:
            continue
        if comes:
            place = load.place(name)
            try:
                place.__enter__()
            except Overloaded:
                taken = sum(map(len, held.values()))
                kept_free = sum(max(0, own - len(others)) for each, others in held.items() if each != name)
                assert len(mine) >= own
                assert taken + kept_free >= limit, "refused, though a place was free"
            else:
                mine.append(place)
        elif mine:
            mine.pop().__exit__(None, None, None)
        assert load.under_way == sum(map(len, held.values())) <= limit

    for places in held.values():
        while places:
            places.pop().__exit__(None, None, None)
    assert load.under_way == 0


def fill(load: Load, name: InstanceName, stack: ExitStack) -> int:
    """Take every place that an instance gets; gives how many."""
    taken = 0
    while True:
        try:
            stack.enter_context(load.place(name))
        except Overloaded:
            return taken
        taken += 1


def test_one_instance_that_hangs_leaves_room_for_the_others():
    load = Load(512, 2)

    with ExitStack() as stack:
        assert fill(load, NAMES[0], stack) == 448
        assert load.has_room
        assert fill(load, NAMES[1], stack) == 64
        assert not load.has_room


def test_a_single_instance_has_all_places():
    with ExitStack() as stack:
        assert fill(Load(8), NAMES[0], stack) == 8
