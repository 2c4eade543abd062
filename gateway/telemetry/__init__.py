"""Logs, request ids and metrics; nothing of a patient's in any of them."""
