"""The Welkin that ships with the gateway: both APIs over one store, faults on demand."""
