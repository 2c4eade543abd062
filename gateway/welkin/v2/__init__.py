"""Welkin's v2 API: page and size, `body`, `id`, `sentAt`, `readAt`."""
