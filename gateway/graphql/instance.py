"""The instance that an endpoint serves, and what the upstream version behind it can do."""

from __future__ import annotations

from enum import Enum

import strawberry

from gateway.graphql.ports import InstanceService


@strawberry.enum(name="ApiVersion", description="The version of Welkin's API behind an instance")
class ApiVersion(Enum):
    """The schema's words for the domain's versions."""

    V1 = strawberry.enum_value("V1", description="Version 1")
    V2 = strawberry.enum_value("V2", description="Version 2")


@strawberry.enum(name="Capability", description="What the upstream version behind this instance can do")
class Capability(Enum):
    """The schema's words for the domain's capabilities."""

    ARCHIVE_FILTER = strawberry.enum_value(
        "ARCHIVE_FILTER", description="Archived messages can be left out or shown"
    )
    ATTACHMENTS = strawberry.enum_value("ATTACHMENTS", description="Messages can carry files")
    PORTAL_TOKENS = strawberry.enum_value(
        "PORTAL_TOKENS", description="A secure patient chat token opens a conversation"
    )
    READ_RECEIPTS = strawberry.enum_value("READ_RECEIPTS", description="Messages tell when they were read")
    SEARCH_ALL_PATIENTS = strawberry.enum_value(
        "SEARCH_ALL_PATIENTS", description="A search can span every patient"
    )
    SENDER_NAMES = strawberry.enum_value("SENDER_NAMES", description="Senders have display names")


@strawberry.type(description="An instance (environment) of a tenant (organisation)")
class Instance:
    """Plain attributes, all known without asking Welkin."""

    tenant: str = strawberry.field(description="The organisation")
    name: str = strawberry.field(description="The environment")
    api_version: ApiVersion = strawberry.field(description="The version of Welkin's API behind it")
    capabilities: list[Capability] = strawberry.field(description="What that version can do, by name")


def instance_of(service: InstanceService) -> Instance:
    """Describe the instance behind a service."""
    return Instance(
        tenant=service.name.tenant,
        name=service.name.instance,
        api_version=ApiVersion[service.api_version.name],
        capabilities=[Capability[name] for name in sorted(entry.name for entry in service.capabilities)],
    )
