"""Ids: which upstream ids are taken, and the global ids that clients see.

A global id is unpadded URL-safe base64 of ``kind``, tenant, instance and the upstream's own ids, each
behind its length, so that no two different lists of parts can give the same id.
"""

from __future__ import annotations

import base64
import binascii
import re

from gateway.domain.errors import BadInput
from gateway.domain.model import Conversation, InstanceName

_UPSTREAM_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
"""UUIDs, ``pt_`` ids and the short ids of Welkin's own examples; nothing that can leave a path segment."""


def check_upstream_id(value: str, what: str) -> str:
    """Return the id if it may stand in a URL.

    Raises:
        BadInput: it may not; the text names ``what`` but not the value.

    >>> check_upstream_id("pt_7272b601-bb09-4abf-87c0-ade48ddfaea0", "patientId")
    'pt_7272b601-bb09-4abf-87c0-ade48ddfaea0'
    """
    if _UPSTREAM_ID.fullmatch(value) is None:
        raise BadInput(
            f"{what} must be 1 to 128 letters, digits, '-' or '_' and start with a letter or digit."
        )
    return value


def message_id(conversation: Conversation, external_id: str) -> str:
    """Give the global id of a message: the same wherever the message is shown."""
    instance = conversation.instance
    return _encode("Message", instance.tenant, instance.instance, conversation.patient_id, external_id)


def patient_node_id(conversation: Conversation) -> str:
    """Give the global id of the patient whose conversation this is.

    >>> name = InstanceName("gh", "sb-demo")
    >>> read_patient_node_id(patient_node_id(Conversation(name, "p1"))) == Conversation(name, "p1")
    True
    """
    instance = conversation.instance
    return _encode("Patient", instance.tenant, instance.instance, conversation.patient_id)


def read_patient_node_id(node_id: str) -> Conversation | None:
    """Read a patient's global id; None if it is not one."""
    match _decode(node_id):
        case ["Patient", tenant, instance, patient_id] if _UPSTREAM_ID.fullmatch(patient_id):
            return Conversation(InstanceName(tenant, instance), patient_id)
        case _:
            return None


def _encode(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _decode(node_id: str) -> list[str] | None:
    try:
        padded = node_id.encode("ascii") + b"=" * (-len(node_id) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        return None
    parts: list[str] = []
    while text:
        length, colon, rest = text.partition(":")
        if not colon or not re.fullmatch(r"[0-9]{1,4}", length) or int(length) > len(rest):
            return None
        parts.append(rest[: int(length)])
        text = rest[int(length) :]
    return parts
