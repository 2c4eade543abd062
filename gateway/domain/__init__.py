"""Values and pure functions of the gateway; standard library only."""
