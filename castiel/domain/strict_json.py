"""JSON from outside, as strict as what it is passed on to: RFC 8259 in UTF-8, finite numbers, whole characters."""

from __future__ import annotations

import json
import math
from typing import Any


def read_json(body: bytes | str) -> Any:
    """The value. Raises ``ValueError`` for what is no JSON, or could not be written again.

    Python reads more than that: other encodings, NaN and Infinity, numbers that become infinite, half a character
    (a lone surrogate). Of a key that is there twice the last one counts, as in most parsers.
    """
    text = body.decode("utf-8") if isinstance(body, bytes) else body
    try:
        found = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if "\\ud" in text or "\\uD" in text:
            # Only an escape can name half a character: the bytes were UTF-8.
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return found


def _refuse(_constant: str) -> None:
    raise ValueError("no JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number too large")
    return number
