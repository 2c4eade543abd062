"""How callers reach the gateway over HTTP and WebSocket."""
