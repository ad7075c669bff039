"""Exit codes that mean something."""

from __future__ import annotations

from enum import IntEnum

from castiel.errors import (
    AlreadyExists,
    CastielError,
    ConfigurationError,
    DependencyUnavailable,
    InvalidInput,
    NotFound,
)


class Exit(IntEnum):
    """What the command's exit code says."""

    OK = 0
    FAILED = 1
    """A check failed, or an operation was refused."""
    USAGE = 2
    """An argument or a setting is missing or wrong."""
    NOT_FOUND = 3
    UNAVAILABLE = 4
    """A service that Castiel runs on did not answer: try again."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""


def exit_code(error: CastielError) -> Exit:
    """The exit code for an error."""
    if isinstance(error, NotFound):
        return Exit.NOT_FOUND
    if isinstance(error, DependencyUnavailable):
        return Exit.UNAVAILABLE
    if isinstance(error, InvalidInput | AlreadyExists | ConfigurationError):
        return Exit.USAGE
    return Exit.FAILED


class UsageProblem(InvalidInput):
    """The command was not given what it needs."""
