"""Lists, and text that holds one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, Any

from pydantic import Field

from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.conversion.transforms.registry import Function, as_it_is, text_only, transform
from castiel.domain.json_values import identity

OWN = "Castiel's own"
Separator = Annotated[str, Field(min_length=1)]


def _list_only(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UnconvertibleError("is not a list")
    return value


def _joined(separator: str) -> Function:
    return lambda value: separator.join(text_only(item) for item in _list_only(value))


def _taken_apart(separator: str) -> Function:
    return lambda value: [item.strip() for item in text_only(value).split(separator) if item.strip()]


def _split_back(*, separator: Separator = ",") -> Function:
    return _joined(separator)


@transform(
    "split",
    does="text to a list at each `separator` (Salesforce's multi-select picklists: `;`), items trimmed, empty ones left out",
    source=OWN,
    limits="an item that holds the separator comes back as two",
    inverse=_split_back,
)
def split(*, separator: Separator = ",") -> Function:
    return _taken_apart(separator)


def _join_back(*, separator: Separator = ",") -> Function:
    return _taken_apart(separator)


@transform(
    "join",
    does="a list of texts to one text, with `separator` between them",
    source=OWN,
    limits="an item that holds the separator goes back as two",
    inverse=_join_back,
)
def join(*, separator: Separator = ",") -> Function:
    return _joined(separator)


def _wrapped(*, key: str) -> Function:
    return lambda value: [{key: item} for item in _list_only(value)]


@transform(
    "pluck",
    does="a list of objects to the list of their `key` (`[{name: bug}]` to `[bug]`), those that have one",
    source=OWN,
    limits="the objects' other members are lost; back they have only this one",
    inverse=_wrapped,
)
def pluck(*, key: str) -> Function:
    def take(value: Any) -> list[Any]:
        items = [item for item in _list_only(value) if isinstance(item, dict)]
        return [item[key] for item in items if item.get(key) is not None]

    return take


@transform(
    "unique",
    does="each item of a list once, in the order of their first appearance",
    source=OWN,
    limits="compares whole values",
    inverse=as_it_is,
)
def unique() -> Function:
    def once(value: Any) -> list[Any]:
        items: dict[Hashable, Any] = {}
        for item in _list_only(value):
            items.setdefault(identity(item), item)
        return list(items.values())

    return once


@transform(
    "sort",
    does="a list of texts in order, so that lists an integration gives in any order are told to be the same",
    source=OWN,
    limits="by code points, not by a language's rules; the integration's own order is lost",
    inverse=as_it_is,
)
def sort() -> Function:
    return lambda value: sorted(text_only(item) for item in _list_only(value))
