"""Answers of 200 that are not what is documented: called bad, not kept, and nothing else fails with them."""

from __future__ import annotations

import json

import pytest

from gateway.sandbox import FaultRule
from tests.faults.asked import Visit, assert_nothing_leaks
from tests.faults.operations import read_page
from tests.faults.rig import PATIENT, Place, make_sandbox, rig

ITEM = {
    "externalId": "IMcanary",
    "id": "0f11e500-0000-4000-8000-00000000ca11",
    "createdAt": "2026-01-01T00:00:00.000Z",
    "sentAt": "2026-01-01T00:00:00Z",
    "sender": "PATIENT",
    "message": "canary é",
    "body": "canary é",
}
PAGE = json.dumps({"meta": {"nextPageToken": None}, "content": [ITEM]}, ensure_ascii=False)
BODIES = {
    "nothing": "",
    "null": "null",
    "a number": "7",
    "a string": '"canary"',
    "an error with 200": '[{"errorCode": "UNKNOWN_ERROR", "message": "patient Canaria ..."}]',
    "an empty object": "{}",
    "a list that is an object": '{"content": {"a": 1}}',
    "a list that is a string": '{"content": "canary"}',
    "a list of other things": '{"content": [1, "canary", [], {}]}',
    "one key twice": '{"content": [], "content": "canary"}',
    "no number": '{"content": [NaN]}',
    "garbage behind": PAGE + "x",
    "two at once": PAGE + PAGE,
    "a mark before": "\ufeff" + PAGE,
    "cut": PAGE[: len(PAGE) // 2],
    "nested without end": "[" * 20_000,
}
TWO = """query ($a: ID!, $b: ID!) {
  page: patient(patientId: $a) { messages(first: 5) { nodes { body } } }
  beside: patient(patientId: $b) { lastName }
}"""


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_an_odd_page_is_an_error_of_its_own_field_and_is_not_kept(version):
    rules = {name: {"text": text} for name, text in BODIES.items()}
    rules["another encoding"] = {"text": PAGE, "encoding": "latin-1"}
    places = [Place(name.replace(" ", "-"), version, make_sandbox()) for name in rules]
    problems: list[str] = []
    async with rig(
        places, cache={"ttl_seconds": 3600, "stale_if_error_seconds": 0}, timeout_seconds=10
    ) as http:
        for place, args in zip(places, rules.values(), strict=True):
            place.sandbox.faults.add(FaultRule("body", "list", times=3, args=args))
            asked = {"query": TWO, "variables": {"a": PATIENT, "b": "other-1"}}

            answer = await http.post(f"{place.url}/graphql", json=asked)
            place.sandbox.faults.clear()
            await read_page(Visit(place, http))

            body = answer.json()
            assert_nothing_leaks(answer, body)
            told = [(each["extensions"]["code"], each["path"]) for each in body.get("errors", ())]
            if told != [("UPSTREAM_BAD_RESPONSE", ["page", "messages"])]:
                problems.append(f"{place.name}: {told}, {body['data']}")
            elif body["data"] != {"page": None, "beside": {"lastName": "Canaria"}}:
                problems.append(f"{place.name}: {body['data']}")
    assert not problems, "\n".join(problems)
