"""What a scheme comes down to for one delivery, worked out once per scheme instead of once per delivery."""

from __future__ import annotations

from dataclasses import dataclass

from .template import Template


@dataclass(frozen=True, slots=True)
class Plan:
    """Header names in lower case, as they are looked up, and the parsed template.

    ``wanted`` maps each of them to the name a refusal shows.
    """

    wanted: dict[str, str]
    signature: str
    timestamp: str | None
    message_id: str | None
    key_id: str | None
    template: Template
    prefix: str
    version: str


def lower(name: str | None) -> str | None:
    """A header name as it is looked up."""
    return name.lower() if name else None
