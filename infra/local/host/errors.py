"""What can be wrong with an app or its configuration before the first invocation."""

from __future__ import annotations


class HostError(Exception):
    """The host cannot start: its message says what to change."""


class ConfigurationError(HostError):
    """A setting or host.json value is missing or malformed."""


class IndexingError(HostError):
    """function_app.py declares something that the platform would refuse, or that this host does not serve."""
