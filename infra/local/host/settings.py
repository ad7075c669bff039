"""local.settings.json and app settings: read as ``func start`` reads them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from infra.local.host.errors import ConfigurationError

_BINDING_EXPRESSION = re.compile(r"%([^%]+)%")
_TRUE_VALUES = frozenset({"true", "1"})


def load_settings(path: Path) -> dict[str, str]:
    """Return the ``Values`` of a local.settings.json.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file

    Raises:
        ConfigurationError: the file is unreadable, encrypted, or holds a value that is not a plain scalar.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read the settings file {path}: {error}") from error
    if document.get("IsEncrypted"):
        raise ConfigurationError(f"{path} is encrypted: run `func settings decrypt` first")
    return {name: _scalar(name, value) for name, value in document.get("Values", {}).items()}


def _scalar(name: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case _:
            raise ConfigurationError(f"the setting {name} must be a string, not {type(value).__name__}")


def apply_settings(
    values: Mapping[str, str], environment: MutableMapping[str, str] = os.environ
) -> list[str]:
    """Copy settings into the environment; a variable that is already set wins, as with ``func start``.

    Returns the names that were left as they were.
    """
    skipped = [name for name in values if name in environment]
    for name, value in values.items():
        environment.setdefault(name, value)
    return skipped


def resolve(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Replace each ``%NAME%`` by the app setting of that name.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-expressions-patterns#binding-expressions---app-settings

    Raises:
        ConfigurationError: the setting is not there.
    """

    def value_of(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environment:
            raise ConfigurationError(
                f"'%{name}%' does not resolve to a value: the app setting {name} is missing"
            )
        return environment[name]

    return _BINDING_EXPRESSION.sub(value_of, text)


def connection_string(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the connection string a trigger's ``connection`` names (``NAME`` or ``AzureWebJobsNAME``).

    Raises:
        ConfigurationError: there is no such setting (this host knows no identity-based connections).
    """
    value = environment.get(name) or environment.get(f"AzureWebJobs{name}")
    if not value:
        raise ConfigurationError(
            f"the connection setting {name} is missing (a connection string is expected)"
        )
    return value


def is_disabled(function: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether ``AzureWebJobs.<function>.Disabled`` switches this function off.

    Source: https://learn.microsoft.com/azure/azure-functions/disable-function
    """
    dotted = environment.get(f"AzureWebJobs.{function}.Disabled", "")
    underscored = environment.get(f"AzureWebJobs_{function}_Disabled", "")
    return (dotted or underscored).strip().lower() in _TRUE_VALUES
