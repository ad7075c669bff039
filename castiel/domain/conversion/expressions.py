"""Source expressions: JMESPath (jmespath.org), with a fast way for the plain paths that most of them are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from castiel.domain.conversion.paths import Path, get_path

Source = Callable[[Any], Any]
"""Reads one value from a record. Raises ``JMESPathError`` where a function gets what it can't take."""

_OWN_SCOPE = ("projection", "value_projection", "filter_projection")


class ExpressionError(ValueError):
    """The text is not a JMESPath expression."""


@lru_cache(maxsize=4096)
def _parsed(expression: str) -> Any:
    try:
        return jmespath.compile(expression)
    except JMESPathError as error:
        where = getattr(error, "lex_position", None)
        at = f" near character {where + 1}" if isinstance(where, int) else ""
        raise ExpressionError(f"'{expression}' is not a JMESPath expression{at}") from error


def compile_source(expression: str) -> Source:
    """The function that reads what an expression names. Raises ``ExpressionError``."""
    path = plain_path(expression)
    if path is None:
        search: Source = _parsed(expression).search
        return search
    if len(path) > 1:
        return lambda record: get_path(record, path)
    name = path[0]
    return lambda record: record.get(name) if isinstance(record, Mapping) else None


def compile_condition(expression: str) -> Callable[[Any], bool]:
    """Whether an expression holds, by JMESPath's truth: not null, false, or an empty text, list or object."""
    source = compile_source(expression)

    def holds(record: Any) -> bool:
        value = source(record)
        return value is not None and value is not False and value not in ("", [], {})

    return holds


def plain_path(expression: str) -> Path | None:
    """The members a plain path (``Account.Name``) leads through, or ``None`` for any other expression."""
    return _plain(_parsed(expression).parsed)


def read_paths(expression: str) -> list[Path]:
    """The paths into the record that an expression reads, as far as they can be told without one."""
    return list(dict.fromkeys(_reads(_parsed(expression).parsed)))


def _plain(node: Mapping[str, Any]) -> Path | None:
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return None
    path: Path = ()
    for child in node["children"]:
        if (inner := _plain(child)) is None:
            return None
        path += inner
    return path


def _reads(node: Any) -> Iterator[Path]:
    if not isinstance(node, Mapping):
        return
    if (path := _plain(node)) is not None:
        yield path
    elif node["type"] in ("subexpression", "index_expression", "pipe", *_OWN_SCOPE):
        # What stands to the right reads what the left side gave, not the record.
        yield from _reads(node["children"][0])
    elif node["type"] == "expref":
        return
    elif node["type"] == "key_val_pair":
        yield from _reads(node["children"][0])
    else:
        for child in node["children"]:
            yield from _reads(child)
