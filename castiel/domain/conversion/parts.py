"""Compiles what mappings are made of: expressions, transform chains, cases; and notes what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from copy import deepcopy
from typing import Any

from castiel.domain.conversion.coercion import coercion_to
from castiel.domain.conversion.expressions import (
    ExpressionError,
    compile_condition,
    compile_source,
    plain_path,
)
from castiel.domain.conversion.paths import Path, split_path
from castiel.domain.conversion.problems import SchemaProblem, UnconvertibleError
from castiel.domain.conversion.schema import Case, FieldMapping, TransformCall
from castiel.domain.conversion.steps import Read
from castiel.domain.conversion.transforms import TransformError, find_transform
from castiel.domain.conversion.transforms.registry import Function
from castiel.domain.fields import FieldType

INBOUND_ONLY = "set 'direction' to 'inbound'"


class Workshop:
    """Compiles the parts of one mapping. What can't be compiled is a problem, and a part that does nothing."""

    def __init__(self, where: str, problems: list[SchemaProblem]) -> None:
        self._where = where
        self._problems = problems

    def report(self, problem: str, suggestion: str | None = None) -> None:
        """Note a problem of this mapping."""
        self._problems.append(SchemaProblem(self._where, problem, suggestion))

    def source(self, expression: str) -> Read:
        """The function that reads an expression."""
        try:
            return compile_source(expression)
        except ExpressionError as error:
            self.report(str(error))
            return _nothing

    def condition(self, expression: str) -> Callable[[Any], bool]:
        """The function that tells whether an expression holds."""
        try:
            return compile_condition(expression)
        except ExpressionError as error:
            self.report(str(error))
            return lambda _: False

    def field_path(self, text: str) -> Path:
        """The path of a shard's or an external field."""
        try:
            return split_path(text)
        except ValueError as error:
            self.report(f"'{text}' {error}")
            return (text,)

    def target(self, mapping: FieldMapping, source: str | None) -> Path | None:
        """The external field that is written: the one named, or the source itself, if it is a plain path."""
        if mapping.external is not None:
            return self.field_path(mapping.external)
        if source is None:
            return None
        try:
            path = plain_path(source)
        except ExpressionError:
            return None  # told where it is compiled
        if path is None:
            self.report(
                f"'{source}' is not a plain path and can't be written back",
                f"name the field to write in 'external', or {INBOUND_ONLY}",
            )
        return path

    def chain(self, calls: Sequence[TransformCall]) -> list[Function]:
        """The functions of a chain of transforms."""
        functions = []
        for call in calls:
            try:
                functions.append(_each(call, find_transform(call.name).function(call.options)))
            except TransformError as error:
                self.report(str(error))
        return functions

    def inverse_chain(self, calls: Sequence[TransformCall]) -> list[Function]:
        """The inverses of a chain, in reverse order."""
        functions = []
        for call in reversed(calls):
            try:
                inverse = find_transform(call.name).inverse_function(call.options)
            except TransformError:
                continue  # told where it is compiled
            if inverse is None:
                self.report(
                    f"transform '{call.name}' has no way back",
                    f"{INBOUND_ONLY}, or say the way back in 'outboundTransforms'",
                )
            else:
                functions.append(_each(call, inverse))
        return functions

    def coercion(self, to: FieldType | None, values: Collection[str]) -> list[Function]:
        """The coercion to a type, if one is named."""
        return [coercion_to(to, values)] if to else []

    def constant(self, value: Any, functions: Sequence[Function]) -> Any:
        """A constant, converted once and for all."""
        try:
            return apply(functions, value)
        except ValueError as error:
            self.report(f"'value' {reason(error)}")
            return None

    def case(self, case: Case) -> Read:
        """What a case gives, whether it holds or not."""
        functions = self.chain(case.transforms)
        if case.source is not None:
            return pipeline(self.source(case.source), functions)
        value = self.constant(case.value, functions)
        return lambda _: deepcopy(value)

    def cases(self, cases: Sequence[Case], otherwise: Case | None, functions: Sequence[Function]) -> Read:
        """What the first case that holds gives, put through further functions."""
        arms: list[tuple[Callable[[Any], bool], Read]] = []
        for case in cases:
            if case.when is None:
                self.report("a case has no 'when'", "say when it holds, or make it 'otherwise'")
                continue
            arms.append((self.condition(case.when), self.case(case)))
        arms.append((lambda _: True, self.case(otherwise) if otherwise else _nothing))

        def choose(record: Any) -> Any:
            return next(read(record) for holds, read in arms if holds(record))

        return pipeline(choose, functions)


def pipeline(source: Read, functions: Sequence[Function]) -> Read:
    """A source whose value is put through functions, as long as there is one."""
    if not functions:
        return source
    if len(functions) == 1:
        (only,) = functions
        return lambda record: None if (value := source(record)) is None else only(value)
    return lambda record: apply(functions, source(record))


def apply(functions: Sequence[Function], value: Any) -> Any:
    """Put a value through functions in order, as long as there is one."""
    for function in functions:
        if value is None:
            return None
        value = function(value)
    return value


def reason(error: Exception) -> str:
    """What to say of a failed conversion: our own words, never a library's, which may quote the value."""
    return str(error) if isinstance(error, UnconvertibleError) else "can't be converted"


def _each(call: TransformCall, function: Function) -> Function:
    if not call.each:
        return function

    def over_list(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise UnconvertibleError("is not a list")
        return [item for item in (function(item) for item in value if item is not None) if item is not None]

    return over_list


def _nothing(_: Any) -> None:
    return None
