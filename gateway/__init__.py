"""One GraphQL schema in front of both versions of Welkin's chat API."""
