"""Reading the values of a record that a rule speaks of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from castiel.domain.matching.normalisers import NORMALISERS
from castiel.domain.matching.rules import DerivedField

Fields = Mapping[str, Any]


def raw_values(fields: Fields, paths: Iterable[str]) -> Iterator[Any]:
    """What is at the paths, lists laid out flat, nothing for what is absent or empty.

    A path is the name of a field, or a JMESPath expression where no field has that name.
    """
    for path in paths:
        if path in fields:
            found = fields[path]
        elif path.isidentifier():
            continue
        else:
            try:
                found = jmespath.search(path, fields)
            except JMESPathError:  # the expression does not fit this record's shape: it lacks the value
                continue
        yield from found if isinstance(found, list | tuple) else (found,)


def texts(fields: Fields, paths: Iterable[str]) -> Iterator[str]:
    """The values at the paths that can be read as text: strings, numbers, dates; not objects."""
    for value in raw_values(fields, paths):
        if isinstance(value, str):
            if value:
                yield value
        elif isinstance(value, date):  # and datetime
            yield value.isoformat()
        elif isinstance(value, bool) or (isinstance(value, int | float) and value == value):
            yield str(value)


def normalise(value: str, names: Sequence[str]) -> str:
    """The value after the named normalisers, one after the other."""
    for name in names:
        value = NORMALISERS[name](value)
    return value


def with_derived(fields: Fields, derive: Sequence[DerivedField]) -> Fields:
    """The fields, and those derived from them that they lack. The record itself stays as it is."""
    added: dict[str, Any] = {}
    for rule in derive:
        if fields.get(rule.field) or added.get(rule.field):
            continue
        for value in texts(fields, (rule.source,)):
            if derived := normalise(value, (rule.normaliser,)):
                added[rule.field] = derived
                break
    return {**fields, **added} if added else fields
