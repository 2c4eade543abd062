"""What the tests of the GraphQL door say, and how they read what comes back."""

from __future__ import annotations

import httpx2

from tests.api.fakes import PATIENT

MESSAGES = "query Q($id: ID!) { patient(patientId: $id) { messages(first: 2) { nodes { body createdAt } } } }"
SEND = (
    "mutation($input: SendMessageInput!) "
    "{ sendMessage(input: $input) { messageEdge { node { externalId body attachments { id url } } } } }"
)

RESPONSE_JSON = "application/graphql-response+json"


def ask(client: httpx2.Client, query: str, path: str = "/graphql", **variables: object) -> dict:
    """Run an operation that must get an answer; the word PATIENT in it stands for the patient's id."""
    text = query.replace("PATIENT", PATIENT)
    answer = client.post(path, json={"query": text, "variables": variables})
    assert answer.status_code == 200, answer.text
    return answer.json()


def code_of(answer: httpx2.Response) -> str:
    assert answer.headers["content-type"].partition(";")[0] in {"application/json", RESPONSE_JSON}
    return answer.json()["errors"][0]["extensions"]["code"]
