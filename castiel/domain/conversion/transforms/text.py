"""Text."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from castiel.domain.conversion.transforms.registry import Function, as_it_is, text_only, transform

PYTHON = "Python's `str`"


@transform("trim", does="removes white space at both ends", source=PYTHON, limits="none", inverse=as_it_is)
def trim() -> Function:
    return lambda value: text_only(value).strip()


@transform(
    "collapse_spaces",
    does="makes every run of white space, line breaks too, one space",
    source=PYTHON,
    limits="the lines of a text are lost",
    inverse=as_it_is,
)
def collapse_spaces() -> Function:
    return lambda value: " ".join(text_only(value).split())


@transform(
    "lower",
    does="lower case",
    source=PYTHON,
    limits="not by a language's own rules (Turkish i)",
    inverse=as_it_is,
)
def lower() -> Function:
    return lambda value: text_only(value).lower()


@transform("upper", does="upper case", source=PYTHON, limits="ß becomes SS", inverse=as_it_is)
def upper() -> Function:
    return lambda value: text_only(value).upper()


@transform(
    "truncate",
    does="keeps the first `length` characters, the last of them `…` where something was cut",
    source=PYTHON,
    limits="counts code points: a flag or a family emoji can be cut apart",
)
def truncate(*, length: Annotated[int, Field(ge=1)]) -> Function:
    def cut(value: object) -> str:
        text = text_only(value)
        return text if len(text) <= length else text[: length - 1] + "…"

    return cut


def _put_before(*, prefix: str) -> Function:
    return lambda value: prefix + text_only(value)


@transform(
    "remove_prefix",
    does="removes `prefix` where the text begins with it",
    source=PYTHON,
    limits="the way back adds it, also where it was not",
    inverse=_put_before,
)
def remove_prefix(*, prefix: str) -> Function:
    return lambda value: text_only(value).removeprefix(prefix)


def _take_off(*, prefix: str) -> Function:
    return lambda value: text_only(value).removeprefix(prefix)


@transform("add_prefix", does="puts `prefix` in front", source=PYTHON, limits="none", inverse=_take_off)
def add_prefix(*, prefix: str) -> Function:
    return _put_before(prefix=prefix)
