"""Compiles a schema's mappings into the steps that run it, one function for each kind of mapping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from castiel.domain.conversion.coercion import to_text
from castiel.domain.conversion.composite import read_composite, write_composite
from castiel.domain.conversion.expressions import ExpressionError, read_paths
from castiel.domain.conversion.parts import INBOUND_ONLY, Workshop, apply, pipeline
from castiel.domain.conversion.paths import Path, overlap
from castiel.domain.conversion.problems import SchemaProblem
from castiel.domain.conversion.schema import (
    CompositeMapping,
    ConditionalMapping,
    ConversionSchema,
    DefaultMapping,
    DerivedRule,
    DirectMapping,
    FieldMapping,
    TransformMapping,
)
from castiel.domain.conversion.steps import (
    ConstantStep,
    DerivedStep,
    InboundStep,
    OutboundStep,
    Plan,
    Read,
    Written,
)
from castiel.domain.conversion.transforms.registry import Function
from castiel.domain.json_values import is_empty


def compile_schema(schema: ConversionSchema) -> tuple[Plan, list[SchemaProblem]]:
    """The plan of a schema, with everything that is wrong with it by itself. With problems the plan must not run."""
    problems: list[SchemaProblem] = []
    ways = [_compile(mapping, where, problems) for where, mapping in places(schema.mappings, "mappings")]
    derived = [
        _derived(rule, f"derived[{index}] ({rule.shard_type})", problems)
        for index, rule in enumerate(schema.derived)
    ]
    inbound = tuple(way.inbound for way in ways if way.inbound)
    outbound = tuple(way.outbound for way in ways if way.outbound)
    constants = tuple(way.constant for way in ways if way.constant)
    problems += _collisions("mappings", ((step.field, step.path) for step in inbound), "filled")
    written = [(".".join(target), target) for step in outbound for target in step.targets]
    problems += _collisions(
        "mappings", [*written, *((".".join(step.target), step.target) for step in constants)], "written"
    )
    return Plan(inbound, outbound, constants, tuple(derived)), problems


def places(mappings: Sequence[FieldMapping], prefix: str) -> Iterator[tuple[str, FieldMapping]]:
    """Each mapping with the name problems call it by: ``mappings[2] (email)``."""
    for index, mapping in enumerate(mappings):
        yield f"{prefix}[{index}] ({mapping.field or mapping.external})", mapping


@dataclass(slots=True)
class _Ways:
    """The two ways a mapping goes."""

    inbound: InboundStep | None = None
    outbound: OutboundStep | None = None
    constant: ConstantStep | None = None


def _compile(
    mapping: FieldMapping, where: str, problems: list[SchemaProblem], *, inbound_only: bool = False
) -> _Ways:
    shop = Workshop(where, problems)
    ways = _Ways()
    if mapping.field is None:
        if isinstance(mapping, DefaultMapping) and mapping.external is not None and not inbound_only:
            value = shop.constant(mapping.value, shop.coercion(mapping.external_type, mapping.values))
            ways.constant = ConstantStep(where, shop.field_path(mapping.external), value)
        return ways
    path = shop.field_path(mapping.field)
    if mapping.inbound or inbound_only:
        read = _read(mapping, shop)
        ways.inbound = InboundStep(mapping.field, path, read, mapping.required)
    if mapping.outbound and not inbound_only:
        written = _write(mapping, shop)
        if written is not None:
            write, targets, reads = written
            default = mapping.value if isinstance(mapping, DefaultMapping) else None
            ways.outbound = OutboundStep(
                where, mapping.field, path, write, targets, (path, *reads), mapping.required, default
            )
    return ways


def _read(mapping: FieldMapping, shop: Workshop) -> Read:
    coercion = shop.coercion(mapping.type, mapping.values)
    match mapping:
        case DirectMapping():
            return pipeline(shop.source(mapping.source), coercion)
        case DefaultMapping():
            return _read_default(mapping, shop, coercion)
        case TransformMapping():
            return pipeline(shop.source(mapping.source), [*shop.chain(mapping.transforms), *coercion])
        case CompositeMapping():
            return pipeline(read_composite(mapping, shop), coercion)
        case ConditionalMapping():
            return shop.cases(mapping.cases, mapping.otherwise, coercion)


def _read_default(mapping: DefaultMapping, shop: Workshop, coercion: Sequence[Function]) -> Read:
    constant = shop.constant(mapping.value, coercion)
    if mapping.source is None:
        return lambda _: deepcopy(constant)
    read = pipeline(shop.source(mapping.source), coercion)

    def read_or_default(record: Any) -> Any:
        value = read(record)
        return deepcopy(constant) if is_empty(value) else value

    return read_or_default


def _write(mapping: FieldMapping, shop: Workshop) -> Written | None:
    match mapping:
        case CompositeMapping():
            return write_composite(mapping, shop)
        case ConditionalMapping():
            return _write_conditional(mapping, shop)
        case TransformMapping():
            if mapping.outbound_transforms is not None:
                back = shop.chain(mapping.outbound_transforms)
            else:
                back = shop.inverse_chain(mapping.transforms)
        case _:
            back = []
    functions = [*back, *shop.coercion(mapping.external_type, ())]
    target = shop.target(mapping, mapping.source)
    if target is None:
        return None
    constant = mapping.value if isinstance(mapping, DefaultMapping) else None

    def write(value: Any, _: Mapping[str, Any]) -> Iterable[tuple[Path, Any]]:
        return [
            (
                target,
                apply(functions, deepcopy(constant) if is_empty(value) and constant is not None else value),
            )
        ]

    return write, (target,), ()


def _write_conditional(mapping: ConditionalMapping, shop: Workshop) -> Written | None:
    if mapping.external is None or not mapping.outbound_cases:
        shop.report(
            "a conditional does not know its way back",
            f"say it in 'external' and 'outboundCases', or {INBOUND_ONLY}",
        )
        return None
    target = shop.field_path(mapping.external)
    choose = shop.cases(
        mapping.outbound_cases, mapping.outbound_otherwise, shop.coercion(mapping.external_type, ())
    )
    cases = [*mapping.outbound_cases, *filter(None, [mapping.outbound_otherwise])]
    expressions = [text for case in cases for text in (case.when, case.source) if text]

    def write(_: Any, fields: Mapping[str, Any]) -> Iterable[tuple[Path, Any]]:
        return [(target, choose(fields))]

    return write, (target,), tuple(_reads(expressions))


def _reads(expressions: Iterable[str]) -> Iterator[Path]:
    for expression in expressions:
        try:
            yield from read_paths(expression)
        except ExpressionError:
            continue  # told where it is compiled


def _derived(rule: DerivedRule, where: str, problems: list[SchemaProblem]) -> DerivedStep:
    shop = Workshop(where, problems)
    inner = [
        _compile(mapping, f"{where}.{name}", problems, inbound_only=True)
        for name, mapping in places(rule.mappings, "mappings")
    ]
    inbound = tuple(way.inbound for way in inner if way.inbound)
    problems += _collisions(where, ((step.field, step.path) for step in inbound), "filled")
    each = shop.source(rule.each) if rule.each else None
    return DerivedStep(
        rule.shard_type,
        shop.condition(rule.condition) if rule.condition else lambda _: True,
        (lambda record: _items(each(record), record)) if each else lambda record: [record],
        pipeline(shop.source(rule.key), [*shop.chain(rule.key_transforms), to_text]),
        inbound,
    )


def _items(found: Any, record: Any) -> Iterator[dict[str, Any]]:
    for item in found if isinstance(found, list) else [found]:
        if item is not None:
            yield {**(item if isinstance(item, Mapping) else {"value": item}), "parent": record}


def _collisions(where: str, named: Iterable[tuple[str, Path]], what: str) -> Iterator[SchemaProblem]:
    seen: list[Path] = []
    for name, path in named:
        if any(overlap(path, other) for other in seen):
            yield SchemaProblem(where, f"'{name}', or what it is part of, is {what} more than once")
        seen.append(path)
