"""Configuration: a TOML file and the environment, checked as a whole before anything starts.

Every problem is reported at once, by key. Values of secrets never stand in a message.
"""

from gateway.settings.access import JwtSettings
from gateway.settings.reading import ConfigurationError, development, load, parse
from gateway.settings.sections import InstanceSettings, Settings
from gateway.settings.urls import is_loopback

__all__ = [
    "ConfigurationError",
    "InstanceSettings",
    "JwtSettings",
    "Settings",
    "development",
    "is_loopback",
    "load",
    "parse",
]
