"""Documents that people wrote, from a file or stdin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from castiel.cli.exits import UsageProblem
from castiel.domain.strict_json import read_json


def read_document(file: str) -> dict[str, Any]:
    """The JSON object in a file; ``-`` is stdin. Raises :class:`UsageProblem`, which names the file and the line."""
    what = "stdin" if file == "-" else file
    try:
        body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageProblem(f"{what}: can't be read ({error.strerror})") from None
    try:
        value = read_json(body)
    except UnicodeDecodeError:
        raise UsageProblem(f"{what}: is not UTF-8") from None
    except ValueError as error:
        raise UsageProblem(f"{what}: is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageProblem(f"{what}: holds no JSON object")
    return value
