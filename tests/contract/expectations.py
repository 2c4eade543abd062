"""How what is stored has to look through the port; where the versions differ by nature, it stands here."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.domain.model import ApiVersion, Attachment, Message, Sender, SenderKind
from gateway.sandbox import Sandbox
from gateway.sandbox.records import StoredMessage
from gateway.sandbox.v2_shapes import sent_ms
from tests.contract.welkin_variations import PATIENT

KINDS = {"patient": SenderKind.PATIENT, "care_team": SenderKind.CARE_TEAM, "system": SenderKind.SYSTEM}
NAMED = {"named", "object", "object_v1"}


def expected(stored: StoredMessage, sandbox: Sandbox, api: ApiVersion) -> Message:
    """Say how a stored message has to look through the port."""
    knobs, author = sandbox.knobs, stored.author
    if api is ApiVersion.V1:
        return Message(
            external_id=stored.v1_id,
            patient_id=PATIENT,
            sender=Sender(KINDS[author.kind], author.id, author.name),
            body=stored.text,
            created_at=stored.provider_at,
        )
    kind = KINDS[author.kind]
    own = author.id if kind is SenderKind.PATIENT or knobs.v2_sender in NAMED else None
    sender = Sender(kind, own, author.name if knobs.v2_sender in NAMED else None)
    files = () if knobs.v2_attachments == "absent" else tuple(Attachment(file.id) for file in stored.files)
    read = stored.read_ms if knobs.v2_read_at == "shown" else None
    return Message(
        external_id=stored.v2_id,
        patient_id=PATIENT,
        sender=Sender(SenderKind.UNKNOWN) if knobs.v2_sender == "missing" else sender,
        body=stored.text,
        created_at=datetime.fromtimestamp(sent_ms(stored, knobs.v2_times) / 1000, UTC),
        read_at=None if read is None else datetime.fromtimestamp(read / 1000, UTC),
        attachments=files,
    )


def history(sandbox: Sandbox, api: ApiVersion, *, archived: bool = True) -> list[Message]:
    """Give the whole conversation, newest first, as it has to look."""
    stored = list(sandbox.store.history(PATIENT) or ())
    kept = [each for each in stored if archived or api is ApiVersion.V2 or not each.archived]
    return [expected(each, sandbox, api) for each in reversed(kept)]


REPEATED = frozenset(
    {"bad_gateway", "gateway_timeout", "reset", "reset_mid_body", "server_error", "unavailable"}
)
"""The faults after which a question that changes nothing is asked again."""


def tries(fault: str) -> int:
    """Give how often such a question is asked while a fault lasts."""
    return 4 if fault in REPEATED else 2 if fault == "unauthorized" else 1
