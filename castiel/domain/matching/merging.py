"""Several records of one person or company into one, by policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from castiel.domain.matching.rules import MergePolicy

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Merged:
    """The merged fields, and for each the positions of the records its value came from (a list's: one or more)."""

    fields: dict[str, Any]
    sources: dict[str, tuple[int, ...]]


def merge(records: Sequence[Record], policy: MergePolicy) -> Merged:
    """One record out of several, in the order given (oldest first). Takes values as they are, and makes none.

    ``keep_first``, ``keep_last``: that record as it is. ``keep_most_complete``: the one with the most fields that
    hold something (the first of several). ``merge_fields``: field by field the first that holds something; lists
    united, objects merged likewise. ValueError: no records.
    """
    if not records:
        raise ValueError("there is nothing to merge: give at least one record")
    match policy:
        case MergePolicy.KEEP_FIRST:
            return _keep(records, 0)
        case MergePolicy.KEEP_LAST:
            return _keep(records, len(records) - 1)
        case MergePolicy.KEEP_MOST_COMPLETE:
            return _keep(
                records,
                max(range(len(records)), key=lambda position: (_filled(records[position]), -position)),
            )
        case MergePolicy.MERGE_FIELDS:
            return _merge_fields(records)


def is_empty(value: Any) -> bool:
    """Whether a value holds nothing: None, blank text, an empty list or object. Zero and False are values."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, list | tuple | dict) and not value)


def _filled(record: Record) -> int:
    return sum(not is_empty(value) for value in record.values())


def _keep(records: Sequence[Record], position: int) -> Merged:
    kept = dict(records[position])
    return Merged(kept, dict.fromkeys(kept, (position,)))


def _merge_fields(records: Sequence[Record]) -> Merged:
    fields: dict[str, Any] = {}
    sources: dict[str, tuple[int, ...]] = {}
    for name in dict.fromkeys(name for record in records for name in record):
        holding = [(position, record[name]) for position, record in enumerate(records) if name in record]
        filled = [(position, value) for position, value in holding if not is_empty(value)]
        fields[name], sources[name] = _merge_values(filled or holding[:1])
    return Merged(fields, sources)


def _merge_values(values: Sequence[tuple[int, Any]]) -> tuple[Any, tuple[int, ...]]:
    """The merged value of one field, with where it came from. Values of another kind than the first are left."""
    position, first = values[0]
    if isinstance(first, list):
        return _unite([(at, value) for at, value in values if isinstance(value, list)])
    if isinstance(first, dict):
        objects = [(at, value) for at, value in values if isinstance(value, dict)]
        inner = _merge_fields([value for _, value in objects])
        used = {objects[at][0] for positions in inner.sources.values() for at in positions}
        return inner.fields, tuple(sorted(used)) or (position,)
    return first, (position,)


def _unite(lists: Sequence[tuple[int, list[Any]]]) -> tuple[list[Any], tuple[int, ...]]:
    united: list[Any] = []
    used: list[int] = []
    for position, items in lists:
        new: list[Any] = []
        for item in items:
            if not any(_same(item, other) for other in (*united, *new)):
                new.append(item)
        if new:
            used.append(position)
            united += new
    return united, tuple(used) or (lists[0][0],)


def _same(a: Any, b: Any) -> bool:
    """Equal, and of one type: in JSON, 1 and true are two values."""
    return type(a) is type(b) and bool(a == b)
