"""Welkin's v1 ("V8") API: page tokens, `message`, `externalId`, `createdAt`."""
