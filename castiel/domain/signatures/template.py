"""The base string of a signature: a template such as ``{id}.{timestamp}.{body}`` around the raw body.

The body is never copied into text: a template renders to the bytes before and after it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PLACEHOLDERS = ("id", "timestamp", "version", "body")
_TOKEN = re.compile(r"\{([^{}]*)\}")


class Template(NamedTuple):
    """A parsed base-string template: format strings for the text on either side of the body."""

    before: str
    after: str
    names: frozenset[str]
    id_separator: str | None

    def render(self, message_id: str, timestamp: str, version: str) -> tuple[bytes, bytes] | None:
        """The bytes before and after the body, from ASCII values.

        ``None`` when the id holds the very literal that is to set it apart. The same signed bytes could then be
        read as another id and another timestamp (Standard Webhooks, "Signature scheme": an id must not hold a
        full stop).
        """
        if self.id_separator and self.id_separator in message_id:
            return None
        before = self.before.format(message_id, timestamp, version).encode("ascii")
        after = self.after.format(message_id, timestamp, version).encode("ascii") if self.after else b""
        return before, after


def parse_template(text: str) -> Template:
    """Read a template. Raises ``ValueError`` saying what is wrong with it."""
    if not text.isascii():
        raise ValueError("must be ASCII")
    pieces = _TOKEN.split(text)
    literals, names = pieces[0::2], pieces[1::2]
    if any("{" in literal or "}" in literal for literal in literals):
        raise ValueError("has an unbalanced brace")
    for name in names:
        if name not in PLACEHOLDERS:
            raise ValueError(f"knows only {{{'}, {'.join(PLACEHOLDERS)}}}")
        if names.count(name) > 1:
            raise ValueError(f"uses {{{name}}} more than once")
    if "body" not in names:
        raise ValueError("must hold {body}: what is not signed can't be trusted")
    if any(not literal or literal.isdigit() for literal in literals[1:-1]):
        raise ValueError(
            "needs a literal, not just digits, between two placeholders: one could shift into the other"
        )
    before, _, after = text.format(id="{0}", timestamp="{1}", version="{2}", body="{body}").partition(
        "{body}"
    )
    return Template(before, after, frozenset(names) - {"body"}, _separator("id", literals, names))


def _separator(name: str, literals: list[str], names: list[str]) -> str | None:
    """The literal between a placeholder and the body's side of the template."""
    if name not in names:
        return None
    index = names.index(name)
    return literals[index + 1] if index < names.index("body") else literals[index]
