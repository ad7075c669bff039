"""Compiles composites: several external fields in one shard field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from castiel.domain.conversion.coercion import to_text
from castiel.domain.conversion.parts import INBOUND_ONLY, Workshop
from castiel.domain.conversion.paths import Path
from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.conversion.schema import CompositeMapping
from castiel.domain.conversion.steps import Read, Written
from castiel.domain.json_values import is_empty

_PLACE = re.compile(r"\{(\w+)\}")


def read_composite(mapping: CompositeMapping, shop: Workshop) -> Read:
    """Puts the parts together."""
    sources = {name: shop.source(expression) for name, expression in mapping.parts.items()}

    def parts(record: Any) -> dict[str, Any]:
        values = {name: source(record) for name, source in sources.items()}
        return {name: value for name, value in values.items() if not is_empty(value)}

    if (separator := mapping.separator) is not None:
        return lambda record: separator.join(map(to_text, parts(record).values())) or None
    if (template := mapping.template) is None:
        return lambda record: parts(record) or None
    names = _PLACE.findall(template)
    if unknown := sorted({*names} - {*mapping.parts}):
        shop.report(f"the template names '{unknown[0]}', which is not one of its parts")

    def set_in(record: Any) -> str | None:
        values = parts(record)
        if any(name not in values for name in names):
            return None
        return _PLACE.sub(lambda place: to_text(values[place[1]]), template)

    return set_in


def write_composite(mapping: CompositeMapping, shop: Workshop) -> Written | None:
    """Takes them apart again, where that can be done."""
    if mapping.template is not None or (mapping.separator is not None and mapping.split is None):
        shop.report(
            "text put together can't be taken apart again", f"give 'separator' and 'split', or {INBOUND_ONLY}"
        )
        return None
    targets = {name: shop.target(mapping, source) for name, source in mapping.parts.items()}
    known = {name: target for name, target in targets.items() if target is not None}

    def write(value: Any, _: Mapping[str, Any]) -> Iterable[tuple[Path, Any]]:
        values = _split(value, list(targets), mapping) if mapping.separator is not None else value
        if values is not None and not isinstance(values, Mapping):
            raise UnconvertibleError("is not an object")
        return [(target, (values or {}).get(name)) for name, target in known.items()]

    return write, tuple(known.values()), ()


def _split(value: Any, names: Sequence[str], mapping: CompositeMapping) -> dict[str, str | None] | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UnconvertibleError("is not text")
    if mapping.split == "first":
        pieces = value.split(mapping.separator, len(names) - 1)
        return {name: piece or None for name, piece in zip(names, pieces, strict=False)}
    pieces = value.rsplit(mapping.separator, len(names) - 1)
    return {name: piece or None for name, piece in zip(reversed(names), reversed(pieces), strict=False)}
