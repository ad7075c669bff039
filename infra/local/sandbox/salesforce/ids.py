"""Record ids as Salesforce makes them.

15 characters (3 of the object's key prefix, 12 that are case-sensitive) and 3 more that tell the case of the
15, so that the 18 survive a case-insensitive system.
Source: https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/field_types.htm
"""

from __future__ import annotations

import re

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SHAPE = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")

INSTANCE = "gL"
ORG_ID_15 = "00DgL0000001sbx"
USER_NUMBER = 0
"""Record numbers begin at 1, so the integration user's id is never handed out again."""


def checksum(id15: str) -> str:
    """The three characters that tell which of the fifteen are upper case."""
    chunks = (id15[start : start + 5] for start in (0, 5, 10))
    return "".join(_SUFFIX[sum(1 << i for i, char in enumerate(chunk) if char.isupper())] for chunk in chunks)


def make_id(prefix: str, number: int) -> str:
    """The 18-character id of the `number`th record under a key prefix."""
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _BASE62[rest] + digits
    id15 = f"{prefix}{INSTANCE}0{digits:0>9}"
    return id15 + checksum(id15)


def full_id(text: str) -> str | None:
    """The 18-character form of an id of 15 or 18 characters; None when it is neither, or its suffix is wrong."""
    if not _SHAPE.fullmatch(text):
        return None
    expected = text[:15] + checksum(text[:15])
    return expected if len(text) == 15 or text == expected else None


ORG_ID = ORG_ID_15 + checksum(ORG_ID_15)
USER_ID = make_id("005", USER_NUMBER)
