"""Where the gateway keeps what it may forget: cached reads, wake-ups, idempotency keys."""
