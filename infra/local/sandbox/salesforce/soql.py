"""SOQL text into a tree, with Salesforce's own answers for text that is not SOQL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from lark import Lark, Token, Transformer, UnexpectedInput, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedToken, VisitError

from infra.local.sandbox.clock import parse_ms
from infra.local.sandbox.salesforce.errors import ApiError

_PARSER = Lark(
    FilePath(__file__).with_name("soql.lark").read_text("utf-8"),
    parser="lalr",
    start="query",
    maybe_placeholders=True,
    propagate_positions=True,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Path:
    """`Name` or `Account.Name`, and where it stands (1-based column)."""

    names: tuple[str, ...]
    column: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in a condition; kind is string, datetime (milliseconds), date, number, boolean or null."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator` is one of = != < <= > >= LIKE IN, NOT IN."""

    path: Path
    operator: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Junction:
    """AND, OR or NOT over conditions."""

    word: str
    parts: tuple[Condition, ...]


Condition = Comparison | Junction


@dataclass(frozen=True, slots=True)
class Ordering:
    path: Path
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT; no paths means COUNT()."""

    text: str
    paths: tuple[Path, ...]
    object_name: str
    object_column: int
    condition: Condition | None
    orderings: tuple[Ordering, ...]
    limit: int | None
    offset: int


def parse(text: str) -> Query:
    """The query. Raises ApiError MALFORMED_QUERY."""
    try:
        return _Build(text).transform(_PARSER.parse(text))
    except UnexpectedInput as error:
        column, token = _where(text, error)
        raise located(text, column, "MALFORMED_QUERY", f"unexpected token: '{token}'") from None
    except VisitError as error:
        if isinstance(error.orig_exc, ApiError):
            raise error.orig_exc from None
        raise


def located(text: str, column: int, code: str, message: str) -> ApiError:
    """An error that points into the query, as Salesforce prints it."""
    flat = " ".join(text.splitlines()) if "\n" in text else text
    start = max(0, column - 50)
    excerpt, caret = flat[start : column + 30], " " * (column - 1 - start)
    return ApiError(400, code, f"\n{excerpt}\n{caret}^\nERROR at Row:1:Column:{column}\n{message}")


def _where(text: str, error: UnexpectedInput) -> tuple[int, str]:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        return (error.token.start_pos or 0) + 1, str(error.token)
    if isinstance(error, UnexpectedCharacters):
        rest = re.match(r"\w+|.", text[error.pos_in_stream or 0 :], re.DOTALL)
        return (error.pos_in_stream or 0) + 1, rest.group() if rest else "<EOF>"
    return len(text) + 1, "<EOF>"


@v_args(inline=True)
class _Build(Transformer[Token, Query]):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def query(self, *parts: Any) -> Query:
        _select, paths, _from, target, _where, condition, _order, _by, *rest = parts
        *orderings, _limit, limit, _offset, offset = rest
        return Query(
            text=self._text,
            paths=paths,
            object_name=target[0],
            object_column=target[1],
            condition=condition,
            orderings=tuple(o for o in orderings if o is not None),
            limit=None if limit is None else int(limit),
            offset=0 if offset is None else int(offset),
        )

    def count(self, _word: Token) -> tuple[Path, ...]:
        return ()

    def paths(self, *paths: Path) -> tuple[Path, ...]:
        return paths

    def object(self, name: Token) -> tuple[str, int]:
        return str(name), (name.start_pos or 0) + 1

    def path(self, *names: Token) -> Path:
        return Path(tuple(str(name) for name in names), (names[0].start_pos or 0) + 1)

    def all_of(self, *parts: Any) -> Junction:
        return Junction("AND", tuple(p for p in parts if not isinstance(p, Token)))

    def any_of(self, *parts: Any) -> Junction:
        return Junction("OR", tuple(p for p in parts if not isinstance(p, Token)))

    def negation(self, _word: Token, part: Condition) -> Junction:
        return Junction("NOT", (part,))

    def comparison(self, path: Path, operator: Token, value: Literal) -> Comparison:
        return Comparison(path, "!=" if operator == "<>" else str(operator), (value,))

    def like(self, path: Path, _word: Token, pattern: Token) -> Comparison:
        return Comparison(path, "LIKE", (Literal("string", _like_text(pattern)),))

    def within(self, path: Path, *rest: Any) -> Comparison:
        return Comparison(path, "IN", tuple(v for v in rest if isinstance(v, Literal)))

    def outside(self, path: Path, *rest: Any) -> Comparison:
        return Comparison(path, "NOT IN", tuple(v for v in rest if isinstance(v, Literal)))

    def ordering(
        self, path: Path, direction: Token | None, _nulls: Token | None, place: Token | None
    ) -> Ordering:
        return Ordering(path, (direction or "").lower() == "desc", (place or "").lower() == "last")

    def string(self, token: Token) -> Literal:
        return Literal("string", self._unescaped(token))

    def datetime(self, token: Token) -> Literal:
        try:
            return Literal("datetime", parse_ms(str(token)))
        except ValueError:
            raise located(
                self._text, (token.start_pos or 0) + 1, "MALFORMED_QUERY", f"unexpected token: '{token}'"
            ) from None

    def date(self, token: Token) -> Literal:
        return Literal("date", str(token))

    def number(self, token: Token) -> Literal:
        return Literal("number", float(token) if "." in token else int(token))

    def true(self, _token: Token) -> Literal:
        return Literal("boolean", True)

    def false(self, _token: Token) -> Literal:
        return Literal("boolean", False)

    def null(self, _token: Token) -> Literal:
        return Literal("null", None)

    def _unescaped(self, token: Token) -> str:
        def replaced(match: re.Match[str]) -> str:
            if match.group(1) not in _ESCAPES:
                text = f"Illegal string literal: Invalid string literal '{token[1:-1]}'. Illegal character sequence '{match.group()}' in string literal."
                raise located(self._text, (token.start_pos or 0) + 1, "MALFORMED_QUERY", text)
            return _ESCAPES[match.group(1)]

        return re.sub(r"\\(.)", replaced, str(token[1:-1]), flags=re.DOTALL)


def _like_text(token: Token) -> str:
    r"""A LIKE pattern: `\%` and `\_` stay escaped, the other escapes are resolved."""

    def replaced(match: re.Match[str]) -> str:
        char = match.group(1)
        return match.group() if char in "%_" else _ESCAPES.get(char, char).replace("\\", "\\\\")

    return re.sub(r"\\(.)", replaced, str(token[1:-1]), flags=re.DOTALL)
