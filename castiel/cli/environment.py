"""Where the command's settings come from: the environment, else a ``local.settings.json``."""

from __future__ import annotations

import json
import os
from pathlib import Path

from castiel.cli.exits import UsageProblem

DEFAULT_FILE = "local.settings.json"
TELLTALES = ("COSMOS_ENDPOINT", "KEY_VAULT_URL", "REDIS_URL")
"""Any of these in the environment means that the settings are there."""


def load_environment(file: Path | None) -> Path | None:
    """Put the file's values into the environment; what is there already stays, unless the file was asked for.

    Returns the file that was read. Raises :class:`UsageProblem` when it can't be read.
    """
    asked_for = file is not None
    if file is None:
        file = Path(DEFAULT_FILE)
        if any(os.environ.get(name) for name in TELLTALES) or not file.is_file():
            return None
    values = _values(file)
    for name, value in values.items():
        if asked_for or not os.environ.get(name):
            os.environ[name] = value
    return file


def _values(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UsageProblem(f"{file}: can't be read ({error.strerror})") from None
    except ValueError:
        raise UsageProblem(f"{file}: is not JSON") from None
    values = content.get("Values") if isinstance(content, dict) else None
    if not isinstance(values, dict):
        raise UsageProblem(f"{file}: has no Values, as local.settings.json must")
    if content.get("IsEncrypted"):
        raise UsageProblem(f"{file}: is encrypted; run `func settings decrypt` first")
    return {str(name): str(value) for name, value in values.items()}
