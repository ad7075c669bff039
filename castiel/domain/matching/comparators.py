"""From a field rule to the two functions the hot loop calls: one that prepares values, one that compares them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from castiel.domain.matching.normalisers import NORMALISERS
from castiel.domain.matching.rules import Combine, FieldRule, Strategy, known
from castiel.domain.matching.similarities import SIMILARITIES
from castiel.domain.matching.values import Fields, normalise, raw_values, texts
from castiel.errors import ConfigurationError

MatchFunction = Callable[[Any, Any], float]
"""A custom comparison: two raw values, as the records hold them, to a similarity of 0..1."""

MAX_VALUES = 8
"""Of a field with many values (e-mail addresses), so many are compared: the work per pair stays bounded."""


class Opaque:
    """A raw value for a custom function; equal to nothing, so that the function is asked every time."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


@dataclass(frozen=True, slots=True)
class Comparator:
    """A field rule, ready to run. ``compare`` takes two prepared values.

    ``texts`` are the normalised values, for swaps and for a record's identity.
    """

    rule: FieldRule
    texts: Callable[[Fields], tuple[str, ...]]
    prepare: Callable[[Fields, tuple[str, ...]], tuple[Any, ...]]
    compare: Callable[[Any, Any], float]

    @property
    def kind(self) -> tuple[str, str | None]:
        """Two rules of one kind prepare values alike: one's values can be compared with the other's."""
        return self.rule.strategy, self.rule.similarity


def comparator(rule: FieldRule, functions: Mapping[str, MatchFunction]) -> Comparator:
    """The rule's comparator. ConfigurationError: the rule names a custom function that is not registered."""
    if rule.strategy is Strategy.CUSTOM:
        return _custom(rule, functions)
    name = rule.similarity or "equal"
    similarity = SIMILARITIES["equal"] if rule.strategy is Strategy.PHONETIC else SIMILARITIES[name]
    names = list(rule.normalisers)
    encode = similarity.prepare
    if rule.strategy is Strategy.PHONETIC:
        sound = NORMALISERS[name]
        similarity_prepare = encode

        def encode(value: str) -> Any:
            return similarity_prepare(sound(value))

    def read(fields: Fields) -> tuple[str, ...]:
        values = (normalise(value, names) for value in texts(fields, rule.fields))
        if rule.combine is Combine.JOIN:
            joined = " ".join(filter(None, values))
            return (joined,) if joined else ()
        return tuple(sorted(set(filter(None, values))))[:MAX_VALUES]

    def prepare(_fields: Fields, normalised: tuple[str, ...]) -> tuple[Any, ...]:
        return tuple(filter(None, (encode(value) for value in normalised)))

    return Comparator(rule, read, prepare, similarity.compare)


class Many(tuple[Any, ...]):
    """Several prepared values of one field, where one value stands alone."""

    __slots__ = ()


def closest(compare: Callable[[Any, Any], float], a: Any, b: Any) -> float:
    """The similarity of the two closest among a's and b's values."""
    if type(a) is not Many and type(b) is not Many:
        return compare(a, b)
    several_a = a if type(a) is Many else (a,)
    several_b = b if type(b) is Many else (b,)
    return max(1.0 if x == y else compare(x, y) for x in several_a for y in several_b)


def _custom(rule: FieldRule, functions: Mapping[str, MatchFunction]) -> Comparator:
    name = rule.similarity or ""
    try:
        function = functions[known(name, functions, "match function")]
    except ValueError as error:
        raise ConfigurationError(f"match rules: field rule '{rule.name}': {error}") from None

    def read(fields: Fields) -> tuple[str, ...]:
        return tuple(sorted({repr(value) for value in _present(fields, rule)}))

    def prepare(fields: Fields, _normalised: tuple[str, ...]) -> tuple[Opaque, ...]:
        return tuple(Opaque(value) for value in _present(fields, rule)[:MAX_VALUES])

    def compare(a: Opaque, b: Opaque) -> float:
        return max(_within(function(a.value, b.value)), _within(function(b.value, a.value)))

    return Comparator(rule, read, prepare, compare)


def _present(fields: Fields, rule: FieldRule) -> list[Any]:
    return [value for value in raw_values(fields, rule.fields) if value is not None and value != ""]


def _within(similarity: float) -> float:
    return min(1.0, max(0.0, float(similarity)))
