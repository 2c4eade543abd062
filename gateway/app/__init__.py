"""The composition root: the only place that names concrete adapters and puts them together."""

from gateway.app.build import Gateway, build

__all__ = ["Gateway", "build"]
