"""Conversion by a schema: an external record into a shard's fields, and back."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from jmespath.exceptions import JMESPathError

from castiel.domain.conversion.compile import compile_schema
from castiel.domain.conversion.parts import reason
from castiel.domain.conversion.paths import get_path, has_path, overlap, set_path, split_path
from castiel.domain.conversion.schema import ConversionSchema
from castiel.domain.conversion.steps import DerivedStep, InboundStep, OutboundStep, Plan
from castiel.domain.json_values import is_empty
from castiel.errors import ConfigurationError, ConversionFailed

Problems = list[tuple[str, str]]

REQUIRED = "is required, and the record has no value for it"
EXPRESSION_FAILED = "its expression can't read this record"


@dataclass(frozen=True, slots=True)
class DerivedRecord:
    """A further shard to be made from the same record. Equal types and keys are the same shard."""

    shard_type: str
    key: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted record: every field the schema carries is there, ``None`` where the record has no value."""

    fields: dict[str, Any]
    derived: list[DerivedRecord] = field(default_factory=list)


def to_shard(schema: ConversionSchema, source: Mapping[str, Any]) -> Converted:
    """Convert an external record.

    Raises ``ConversionFailed`` with everything that is wrong with the record, and ``ConfigurationError`` where the
    schema itself is wrong.
    """
    plan = plan_of(schema)
    problems: Problems = []
    fields = _fill(plan.inbound, source, problems)
    derived = [record for rule in plan.derived for record in _derive(rule, source, problems)]
    if problems:
        raise ConversionFailed(problems)
    return Converted(fields, list({(r.shard_type, r.key): r for r in reversed(derived)}.values())[::-1])


def to_external(
    schema: ConversionSchema, fields: Mapping[str, Any], only: Collection[str] | None = None
) -> dict[str, Any]:
    """Convert a shard's fields into an external record.

    ``only`` names the shard fields that changed: the result then holds just the external fields they feed, ``None``
    for those that were cleared. Without it, it holds what a new record needs, constants too. Raises like ``to_shard``.
    """
    plan = plan_of(schema)
    problems: Problems = []
    record: dict[str, Any] = {}
    changed = None if only is None else [split_path(name) for name in only]
    if changed is None:
        for constant in plan.constants:
            set_path(record, constant.target, deepcopy(constant.value))
    for step in plan.outbound:
        if changed is None:
            wanted = (
                step.required
                or step.default is not None
                or any(has_path(fields, read) for read in step.reads)
            )
        else:
            wanted = any(overlap(path, read) for path in changed for read in step.reads)
        if wanted:
            _feed(step, fields, record, problems)
    if problems:
        raise ConversionFailed(problems)
    return record


def carried_fields(schema: ConversionSchema) -> frozenset[str]:
    """The shard's fields that the schema fills from outside, by their first member: what a merge is about."""
    return frozenset(step.path[0] for step in plan_of(schema).inbound)


def fed_fields(schema: ConversionSchema) -> frozenset[str]:
    """The shard's fields that external fields are fed from, by their first member: what is worth pushing."""
    return frozenset(read[0] for step in plan_of(schema).outbound for read in step.reads)


def plan_of(schema: ConversionSchema) -> Plan:
    """The compiled schema, kept as long as the schema object lives. Raises ``ConfigurationError``."""
    key = id(schema)
    kept = _plans.get(key)
    if kept is not None and kept[0]() is schema and kept[1] == (schema.version, schema.etag):
        return kept[2]
    plan, problems = compile_schema(schema)
    if problems:
        raise ConfigurationError(f"conversion schema '{schema.id}': " + "; ".join(map(str, problems)))
    _plans[key] = weakref.ref(schema, lambda _: _plans.pop(key, None)), (schema.version, schema.etag), plan
    return plan


_plans: dict[int, tuple[weakref.ref[ConversionSchema], tuple[int, str | None], Plan]] = {}


def _fill(steps: Iterable[InboundStep], record: Any, problems: Problems, prefix: str = "") -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for step in steps:
        try:
            value = step.read(record)
        except JMESPathError:
            problems.append((prefix + step.field, EXPRESSION_FAILED))
            continue
        except ValueError as error:
            problems.append((prefix + step.field, reason(error)))
            continue
        if step.required and is_empty(value):
            problems.append((prefix + step.field, REQUIRED))
        if len(step.path) == 1:
            fields[step.field] = value
        else:
            set_path(fields, step.path, value)
    return fields


def _derive(rule: DerivedStep, record: Mapping[str, Any], problems: Problems) -> Iterable[DerivedRecord]:
    try:
        found = [
            (item, key)
            for item in rule.items(record)
            if rule.condition(item) and (key := rule.key(item)) is not None
        ]
    except JMESPathError:
        problems.append((rule.shard_type, EXPRESSION_FAILED))
        return
    except ValueError as error:
        problems.append((rule.shard_type, f"its key {reason(error)}"))
        return
    for item, key in found:
        if key.strip():
            yield DerivedRecord(
                rule.shard_type, key, _fill(rule.inbound, item, problems, prefix=f"{rule.shard_type}.")
            )


def _feed(step: OutboundStep, fields: Mapping[str, Any], record: dict[str, Any], problems: Problems) -> None:
    value = get_path(fields, step.path)
    if step.required and is_empty(value) and step.default is None:
        problems.append((step.field, REQUIRED))
        return
    try:
        for target, written in step.write(value, fields):
            set_path(record, target, written)
    except JMESPathError:
        problems.append((step.field, EXPRESSION_FAILED))
    except ValueError as error:
        problems.append((step.field, reason(error)))
