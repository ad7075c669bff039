"""People's names."""

from __future__ import annotations

from typing import Literal

from nameparser import HumanName

from castiel.domain.conversion.transforms.registry import Function, text_only, transform

PARSER = "nameparser"
LIMITS = "made for Western names (given name first, or `Family, Given`); a guess for others"

NamePart = Literal["title", "first", "middle", "last", "suffix"]
PARTS: tuple[NamePart, ...] = ("title", "first", "middle", "last", "suffix")


@transform(
    "name_part",
    does="one part of a full name: title, first, middle, last or suffix",
    source=PARSER,
    limits=LIMITS,
)
def name_part(*, part: NamePart) -> Function:
    return lambda value: str(getattr(HumanName(text_only(value)), part)) or None


@transform(
    "name_parts", does="a full name to an object of its parts, those it has", source=PARSER, limits=LIMITS
)
def name_parts() -> Function:
    def take_apart(value: object) -> dict[str, str]:
        name = HumanName(text_only(value))
        return {part: text for part in PARTS if (text := str(getattr(name, part)))}

    return take_apart


@transform(
    "name_case",
    does="capitals for a name written in one case only (`JUAN DE LA VEGA` to `Juan de la Vega`); others stay",
    source=PARSER,
    limits=LIMITS,
)
def name_case() -> Function:
    def capitalise(value: object) -> str:
        text = text_only(value)
        if text != text.upper() and text != text.lower():
            return text
        name = HumanName(text)
        name.capitalize(force=True)
        return str(name)

    return capitalise
