"""The base string of a signature: a template such as ``{id}.{timestamp}.{body}`` around the raw body.

The body is never copied into text: a template renders to the bytes before and after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

PLACEHOLDERS = ("id", "timestamp", "version", "body")
_TOKEN = re.compile(r"\{([^{}]*)\}")


class Part(NamedTuple):
    """Literal text, or the name of a value and the literal between it and the body's side of the template."""

    literal: str
    name: str | None = None
    separator: str = ""


class Template(NamedTuple):
    """A parsed base-string template."""

    before: tuple[Part, ...]
    after: tuple[Part, ...]

    @property
    def names(self) -> frozenset[str]:
        """The placeholders used besides the body."""
        return frozenset(part.name for part in self.before + self.after if part.name)

    def render(self, values: Mapping[str, str]) -> tuple[bytes, bytes] | None:
        """The bytes before and after the body.

        ``None`` when a value holds the very literal that is to set it apart. The same signed bytes could then be read
        as another id and another timestamp (Standard Webhooks, "Signature scheme": ids and timestamps must not
        hold a full stop).
        """
        before = _fill(self.before, values)
        after = _fill(self.after, values) if self.after else b""
        return None if before is None or after is None else (before, after)


@lru_cache(maxsize=256)
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
    if any(not literal for literal in literals[1:-1]):
        raise ValueError("needs a literal between two placeholders, or one could be shifted into the other")
    body = names.index("body")
    before = [Part(literals[0])]
    for name, following in zip(names[:body], literals[1:], strict=False):
        before += [Part("", name, following), Part(following)]
    after = [Part(literals[body + 1])]
    for name, preceding, following in zip(
        names[body + 1 :], literals[body + 1 :], literals[body + 2 :], strict=False
    ):
        after += [Part("", name, preceding), Part(following)]
    return Template(_filled(before), _filled(after))


def _filled(parts: list[Part]) -> tuple[Part, ...]:
    return tuple(part for part in parts if part.literal or part.name)


def _fill(parts: tuple[Part, ...], values: Mapping[str, str]) -> bytes | None:
    pieces = []
    for literal, name, separator in parts:
        if name is None:
            pieces.append(literal)
            continue
        value = values[name]
        if separator in value:
            return None
        pieces.append(value)
    return "".join(pieces).encode("ascii")
