"""A parsed SOQL query into SQL over the store's tables, with the checks of names and types Salesforce makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.local.sandbox.salesforce.errors import ApiError
from infra.local.sandbox.salesforce.ids import full_id
from infra.local.sandbox.salesforce.schema import OBJECTS, Field, SObject, find_object
from infra.local.sandbox.salesforce.soql import Comparison, Condition, Literal, Path, Query, located

_PROVIDER = "salesforce"
_KINDS = {
    "boolean": ("boolean",),
    "datetime": ("datetime",),
    "date": ("date",),
    "int": ("number",),
    "double": ("number",),
    "currency": ("number",),
    "percent": ("number",),
}
_SUFFIX = (
    "If you are attempting to use a custom {what}, be sure to append the '__c' after the {name} name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)
_MAX_OFFSET = 2000


@dataclass(frozen=True, slots=True)
class Column:
    """A selected field; `via` are the reference fields from the queried object to the one that has it."""

    field: Field
    via: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: SQL that yields the ids in order, and what to print of each record."""

    sobject: SObject
    columns: tuple[Column, ...]
    sql: str
    parameters: tuple[Any, ...]


def plan(query: Query, include_deleted: bool) -> Plan:
    """Raises ApiError: INVALID_TYPE, INVALID_FIELD, MALFORMED_QUERY, NUMBER_OUTSIDE_VALID_RANGE."""
    sobject = find_object(query.object_name)
    if sobject is None:
        text = f"sObject type '{query.object_name}' is not supported. "
        suffix = _SUFFIX.format(what="object", name="entity")
        raise located(query.text, query.object_column, "INVALID_TYPE", text + suffix)
    if query.offset > _MAX_OFFSET:
        raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
    compiler = _Compiler(query, sobject)
    columns = tuple(compiler.column(path) for path in query.paths)
    names = [path.names for path in query.paths]
    for index, path in enumerate(query.paths):
        if path.names in names[:index]:
            raise located(
                query.text, path.column, "MALFORMED_QUERY", f"duplicate field selected: {path.names[-1]}"
            )
    where = compiler.condition(query.condition) if query.condition else "1"
    order = ", ".join(compiler.ordering(o.path, o.descending, o.nulls_last) for o in query.orderings)
    live = "" if include_deleted else " AND r.deleted=0"
    sql = (
        f"SELECT r.id FROM records r WHERE r.provider='{_PROVIDER}' AND r.entity='{sobject.name}'{live}"  # noqa: S608
        f" AND ({where}) ORDER BY {order or 'r.id'} LIMIT {-1 if query.limit is None else query.limit}"
        f" OFFSET {query.offset}"
    )
    return Plan(sobject, columns, sql, tuple(compiler.parameters))


class _Compiler:
    def __init__(self, query: Query, sobject: SObject) -> None:
        self._query = query
        self._sobject = sobject
        self.parameters: list[Any] = []

    def column(self, path: Path) -> Column:
        """The field a path names."""
        sobject, via = self._sobject, []
        for name in path.names[:-1]:
            link = sobject.relationship(name)
            if link is None or link.refers_to is None:
                text = f"Didn't understand relationship '{name}' in field path. " + _SUFFIX.format(
                    what="relationship", name="custom relationship"
                ).replace("'__c'", "'__r'")
                raise located(self._query.text, path.column, "INVALID_FIELD", text)
            via.append(link)
            sobject = OBJECTS[link.refers_to]
        field = sobject.field(path.names[-1])
        if field is None:
            text = f"No such column '{path.names[-1]}' on entity '{sobject.name}'. "
            suffix = _SUFFIX.format(what="field", name="custom field")
            raise located(self._query.text, path.column, "INVALID_FIELD", text + suffix)
        return Column(field, tuple(via))

    def condition(self, node: Condition) -> str:
        if isinstance(node, Comparison):
            return self._comparison(node)
        parts = [f"({self.condition(part)})" for part in node.parts]
        # A comparison with an empty field is false in SOQL, so its negation is true: no third truth value.
        return f"NOT COALESCE({parts[0]}, 0)" if node.word == "NOT" else f" {node.word} ".join(parts)

    def ordering(self, path: Path, descending: bool, nulls_last: bool) -> str:
        column = self.column(path)
        self._refuse_long_text(column.field, path, "sorted")
        direction = "DESC" if descending else "ASC"
        if column.field.column and not column.via:
            return f"{_expression(column)} {direction}"  # never null; without the words SQLite uses the index
        return f"{_expression(column)} {direction} NULLS {'LAST' if nulls_last else 'FIRST'}"

    def _comparison(self, node: Comparison) -> str:
        column = self.column(node.path)
        self._refuse_long_text(column.field, node.path, "filtered")
        expression = _expression(column)
        values = [self._value(column.field, node, literal) for literal in node.values]
        if node.operator in ("IN", "NOT IN"):
            self.parameters += values
            inside = f"{expression} IN ({', '.join('?' * len(values))})"
            return inside if node.operator == "IN" else f"NOT COALESCE({inside}, 0)"
        if values[0] is None:
            if node.operator not in ("=", "!="):
                raise located(
                    self._query.text, node.path.column, "INVALID_FIELD", "null is only comparable by = or !="
                )
            return f"{expression} IS {'NOT ' if node.operator == '!=' else ''}NULL"
        self.parameters.append(values[0])
        if node.operator == "LIKE":
            return f"{expression} LIKE ? ESCAPE '\\'"
        return f"{expression} IS NOT ?" if node.operator == "!=" else f"{expression} {node.operator} ?"

    def _value(self, field: Field, node: Comparison, literal: Literal) -> Any:
        wanted = _KINDS.get(field.type, ("string",))
        if literal.kind == "null":
            return None
        if literal.kind not in wanted:
            quotes = "should be" if wanted == ("string",) else "should not be"
            kind = {"datetime": "dateTime", "number": field.type}.get(wanted[0], wanted[0])
            text = (
                f"value of filter criterion for field '{field.name}' must be of type {kind} and {quotes} "
                "enclosed in quotes"
            )
            raise located(self._query.text, node.path.column, "INVALID_FIELD", text)
        if field.type in ("id", "reference") and node.operator != "LIKE":
            return self._id(node, str(literal.value))
        return int(literal.value) if literal.kind == "boolean" else literal.value

    def _id(self, node: Comparison, text: str) -> str:
        if not text:
            return text
        found = full_id(text)
        if found is None:
            raise located(
                self._query.text,
                node.path.column,
                "INVALID_QUERY_FILTER_OPERATOR",
                f"invalid ID field: {text}",
            )
        return found

    def _refuse_long_text(self, field: Field, path: Path, what: str) -> None:
        if field.type == "textarea" and field.length > 255:
            text = f"field '{field.name}' can not be {what} in a query call"
            raise located(self._query.text, path.column, "INVALID_FIELD", text)


def _expression(column: Column) -> str:
    """SQL for a field of `r`, or of what it refers to, one subselect per step."""
    owner = f"p{len(column.via)}" if column.via else "r"
    field = column.field
    expression = (
        f"{owner}.{field.column}" if field.column else f"json_extract({owner}.data, '$.{field.name}')"
    )
    for depth in range(len(column.via), 0, -1):
        link, here = column.via[depth - 1], f"p{depth}"
        above = f"p{depth - 1}" if depth > 1 else "r"
        expression = (
            f"(SELECT {expression} FROM records {here} WHERE {here}.provider='{_PROVIDER}'"  # noqa: S608
            f" AND {here}.entity='{link.refers_to}' AND {here}.id=json_extract({above}.data, '$.{link.name}'))"
        )
    is_text = field.type not in (*_KINDS, "id", "reference")
    return f"{expression} COLLATE NOCASE" if is_text else expression
