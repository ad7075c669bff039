from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.domain.conversion.coercion import coercion_to
from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.fields import FieldType

GOOD: list[tuple[FieldType, Any, Any]] = [
    ("string", "a", "a"),
    ("string", "", ""),
    ("string", 1.0, "1"),
    ("string", 1.5, "1.5"),
    ("string", True, "true"),
    ("text", 7, "7"),
    ("integer", "42", 42),
    ("integer", 42.0, 42),
    ("integer", " 1e3 ", 1000),
    ("integer", 2**60, 2**60),
    ("integer", str(2**60 + 1), 2**60 + 1),
    ("integer", "", None),
    ("number", "1.5", 1.5),
    ("number", 3, 3),
    ("boolean", "Yes", True),
    ("boolean", 0, False),
    ("boolean", "off", False),
    ("boolean", True, True),
    ("date", "2025-12-10T23:00:00-05:00", "2025-12-10"),
    ("date", "20251210", "2025-12-10"),
    ("datetime", "2025-12-10", "2025-12-10T00:00:00Z"),
    ("datetime", "2025-12-10T13:00:00+02:00", "2025-12-10T11:00:00Z"),
    ("email", "Ada@EXAMPLE.com", "Ada@example.com"),
    ("phone", "+33 1 23 45 67 89", "+33123456789"),
    ("url", " https://example.com/x ", "https://example.com/x"),
    ("enum", "a", "a"),
    ("reference", 12, "12"),
    ("object", {"a": 1}, {"a": 1}),
    ("list", "a", ["a"]),
    ("list", ["a"], ["a"]),
    ("list", " ", None),
]
BAD: list[tuple[FieldType, Any]] = [
    ("string", {}),
    ("string", []),
    ("integer", 1.5),
    ("integer", True),
    ("integer", "1_000"),
    ("integer", "9" * 5000),
    ("number", "nan"),
    ("number", "1,5"),
    ("number", float("inf")),
    ("number", []),
    ("boolean", "maybe"),
    ("boolean", 2),
    ("boolean", None.__class__),
    ("date", "tomorrow"),
    ("date", 20251210),
    ("datetime", "2025-13-01"),
    ("email", "ada"),
    ("phone", "0123456789"),
    ("url", "example.com"),
    ("url", "http://["),
    ("url", "http://a b/"),
    ("object", [1]),
]


@pytest.mark.parametrize(("field_type", "value", "expected"), GOOD)
def test_values_are_coerced(field_type: FieldType, value: Any, expected: Any) -> None:
    coerced = coercion_to(field_type)(value)
    assert coerced == expected
    assert type(coerced) is type(expected)


@pytest.mark.parametrize(("field_type", "value"), BAD)
def test_values_that_are_no_such_thing_are_refused(field_type: FieldType, value: Any) -> None:
    with pytest.raises(UnconvertibleError):
        coercion_to(field_type)(value)


def test_enums_take_only_their_values() -> None:
    coerce = coercion_to("enum", ("a", "b"))
    assert coerce("a") == "a"
    with pytest.raises(UnconvertibleError, match="is not one of the values allowed"):
        coerce("A")


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
).filter(lambda value: value is not None)


@given(st.sampled_from(get_args(FieldType)), json_values)
def test_a_coerced_value_stays_as_it_is(field_type: FieldType, value: Any) -> None:
    coerce = coercion_to(field_type)
    try:
        coerced = coerce(value)
    except UnconvertibleError:
        return
    assert coerced is None or coerce(coerced) == coerced
