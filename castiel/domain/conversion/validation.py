"""Checks a schema against the fields an adapter discovered, when it is saved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from castiel.domain.conversion.compile import compile_schema, places
from castiel.domain.conversion.expressions import ExpressionError, read_paths
from castiel.domain.conversion.paths import Path
from castiel.domain.conversion.problems import SchemaProblem, did_you_mean
from castiel.domain.conversion.schema import (
    Case,
    CompositeMapping,
    ConditionalMapping,
    ConversionSchema,
    DerivedRule,
    FieldMapping,
    TransformMapping,
)
from castiel.domain.conversion.steps import Plan
from castiel.domain.fields import FieldDescription
from castiel.domain.model import Model

_HAS_MEMBERS = ("object", "list", "reference")


def validate_schema(
    schema: ConversionSchema, entity_fields: Sequence[FieldDescription]
) -> list[SchemaProblem]:
    """Everything that is wrong with a schema, each with what would mend it where that can be told.

    ``error`` problems keep it from working and must refuse the save; ``warning`` ones are worth a look. Without
    ``entity_fields`` (an integration that can't be asked) only the schema itself is checked.
    """
    plan, problems = compile_schema(schema)
    problems += _unknown_keys(schema)
    problems += _label_problems(schema, plan)
    if entity_fields:
        entity = _Entity(entity_fields)
        for where, mapping in places(schema.mappings, "mappings"):
            problems += _source_problems(where, _sources(mapping), entity)
            problems += _enum_problems(where, mapping, entity)
        for index, rule in enumerate(schema.derived):
            problems += _derived_problems(f"derived[{index}] ({rule.shard_type})", rule, entity)
        problems += _target_problems(plan, entity)
    return list(dict.fromkeys(problems))  # a field that is read and written is unknown once


class _Entity:
    """The fields of an entity, by the paths into its records."""

    def __init__(self, fields: Sequence[FieldDescription]) -> None:
        self.fields = fields
        self.names = [field.name for field in fields]
        self._by_name = {field.name: field for field in fields}
        self._paths = {tuple(field.name.split(".")): field for field in fields}

    def field_at(self, path: Path) -> FieldDescription | None:
        """The field that a path names or leads into."""
        if (exact := self._by_name.get(".".join(path))) is not None:
            return exact
        into = [field for known, field in self._paths.items() if known == path[: len(known)]]
        return next((field for field in into if field.type in _HAS_MEMBERS), None)

    def knows(self, path: Path) -> bool:
        """Whether the path names a field, leads into one, or to where several are."""
        return self.field_at(path) is not None or any(known[: len(path)] == path for known in self._paths)

    def leads_beyond(self, path: Path) -> FieldDescription | None:
        """The field without members that a path wants a member of."""
        return next(
            (f for known, f in self._paths.items() if known == path[: len(known)] and len(path) > len(known)),
            None,
        )


def _sources(mapping: FieldMapping) -> list[str]:
    if isinstance(mapping, CompositeMapping):
        return list(mapping.parts.values())
    if isinstance(mapping, ConditionalMapping):
        return _case_sources([*mapping.cases, *filter(None, [mapping.otherwise])])
    return [mapping.source] if mapping.source is not None else []


def _case_sources(cases: Iterable[Case]) -> list[str]:
    return [text for case in cases for text in (case.when, case.source) if text is not None]


def _derived_problems(where: str, rule: DerivedRule, entity: _Entity) -> Iterator[SchemaProblem]:
    if rule.each is not None:
        # The rest reads the items, whose fields the adapter doesn't describe.
        yield from _source_problems(where, [rule.each], entity)
        return
    yield from _source_problems(where, [text for text in (rule.key, rule.condition) if text], entity)
    for name, mapping in places(rule.mappings, "mappings"):
        yield from _source_problems(f"{where}.{name}", _sources(mapping), entity)


def _source_problems(where: str, expressions: Iterable[str], entity: _Entity) -> Iterator[SchemaProblem]:
    for expression in expressions:
        try:
            paths = read_paths(expression)
        except ExpressionError:
            continue  # a problem of the schema itself
        yield from (_unknown(where, path, entity) for path in paths if not entity.knows(path))


def _unknown(where: str, path: Path, entity: _Entity) -> SchemaProblem:
    name = ".".join(path)
    if (scalar := entity.leads_beyond(path)) is not None:
        return SchemaProblem(
            where, f"'{scalar.name}' is a {scalar.type} and has no '{name[len(scalar.name) + 1 :]}'"
        )
    return SchemaProblem(where, f"the entity has no field '{name}'", did_you_mean(name, entity.names))


def _target_problems(plan: Plan, entity: _Entity) -> Iterator[SchemaProblem]:
    fed: set[str] = set()
    for where, path, constant in _targets(plan):
        name = ".".join(path)
        field = entity.field_at(path)
        if field is None:
            if not entity.knows(path):
                yield _unknown(where, path, entity)
            continue
        fed.add(field.name)
        if not field.writable:
            yield SchemaProblem(
                where,
                f"'{name}' can't be written",
                "set 'direction' to 'inbound', or 'external' to another field",
            )
        elif (
            field.type == "enum"
            and field.values
            and isinstance(constant, str)
            and constant not in field.values
        ):
            hint = did_you_mean(constant, field.values)
            yield SchemaProblem(where, f"'{name}' does not take the value '{constant}'", hint)
    if fed:
        yield from (
            SchemaProblem(
                "mappings",
                f"'{field.name}' is required to create a record, and no mapping feeds it",
                "map it, or give it a 'default' with 'external'",
                severity="warning",
            )
            for field in entity.fields
            if field.required and field.writable and not _is_fed(field.name, fed)
        )


def _is_fed(name: str, fed: set[str]) -> bool:
    """Whether the field is written, or something within it (a start's date, or its date and time)."""
    return name in fed or any(one.startswith(f"{name}.") for one in fed)


def _targets(plan: Plan) -> Iterator[tuple[str, Path, Any]]:
    """Every external field that is written: by which mapping, where, and the constant that may be written."""
    for step in plan.outbound:
        yield from ((step.where, target, step.default) for target in step.targets)
    yield from ((constant.where, constant.target, constant.value) for constant in plan.constants)


def _enum_problems(where: str, mapping: FieldMapping, entity: _Entity) -> Iterator[SchemaProblem]:
    """Values in an ``enum`` transform's table that the field doesn't take, and values of the field not in it."""
    if not isinstance(mapping, TransformMapping) or mapping.transforms[0].name != "enum":
        return
    field = next((field for field in entity.fields if field.name == mapping.source), None)
    table = mapping.transforms[0].options.get("values")
    if field is None or not field.values or not isinstance(table, dict):
        return
    for value in table:
        if value not in field.values:
            yield SchemaProblem(
                where, f"'{field.name}' has no value '{value}'", did_you_mean(value, field.values)
            )
    missing = [value for value in field.values if value not in table]
    if missing and mapping.transforms[0].options.get("unlisted", "error") == "error":
        names = ", ".join(f"'{value}'" for value in missing)
        hint = "list them, or set 'unlisted' to 'keep' or 'null'"
        yield SchemaProblem(
            where, f"records with {names} in '{field.name}' would fail", hint, severity="warning"
        )


def _label_problems(schema: ConversionSchema, plan: Plan) -> Iterator[SchemaProblem]:
    filled = [step.field for step in plan.inbound]
    label = schema.label_field
    if label is not None and label not in filled:
        yield SchemaProblem("labelField", f"no mapping fills '{label}'", did_you_mean(label, filled))


def _unknown_keys(schema: ConversionSchema) -> Iterator[SchemaProblem]:
    for where, mapping in places(schema.mappings, "mappings"):
        yield from _extra(where, mapping)
    for index, rule in enumerate(schema.derived):
        where = f"derived[{index}] ({rule.shard_type})"
        yield from _extra(where, rule)
        for name, mapping in places(rule.mappings, "mappings"):
            yield from _extra(f"{where}.{name}", mapping)


def _extra(where: str, model: Model) -> Iterator[SchemaProblem]:
    known = [field.alias or name for name, field in type(model).model_fields.items()]
    for key in model.model_extra or {}:
        yield SchemaProblem(where, f"there is no '{key}'", did_you_mean(key, known))
