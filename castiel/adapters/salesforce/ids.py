"""Record ids: 15 characters that know upper from lower case, or 18 that don't have to.

Source: https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/field_types.htm
(ID Field Type)
"""

from __future__ import annotations

import re

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def is_id(text: str) -> bool:
    """Whether a text has an id's form."""
    return _ID.fullmatch(text) is not None


def full_id(text: str) -> str:
    """The 18-character form, which records carry, of a 15-character id; anything else as it is."""
    if len(text) != 15 or not is_id(text):
        return text
    suffix = ""
    for start in (0, 5, 10):
        capitals = sum(1 << place for place, char in enumerate(text[start : start + 5]) if char.isupper())
        suffix += _SUFFIX[capitals]
    return text + suffix
