"""Property values as Notion's documentation shows them, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.adapters.notion.dialect import error_detail
from castiel.adapters.notion.values import TEXT_ITEM_UNITS, is_writable, plain_value, text_items, typed_value
from castiel.errors import SchemaMismatch


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"type": "title", "title": [{"plain_text": "Bug "}, {"plain_text": "bash"}]}, "Bug bash"),
        ({"type": "rich_text", "rich_text": []}, None),
        ({"type": "number", "number": 0}, 0),
        ({"type": "checkbox", "checkbox": False}, False),
        ({"type": "select", "select": None}, None),
        ({"type": "status", "status": {"id": "x", "name": "Done", "color": "green"}}, "Done"),
        ({"type": "multi_select", "multi_select": [{"name": "a"}, {"name": "b"}]}, ["a", "b"]),
        ({"type": "date", "date": {"start": "2023-02-23", "end": None, "time_zone": None}}, "2023-02-23"),
        (
            {"type": "date", "date": {"start": "2023-02-23", "end": "2023-02-24", "time_zone": None}},
            {"start": "2023-02-23", "end": "2023-02-24"},
        ),
        ({"type": "formula", "formula": {"type": "number", "number": 42}}, 42),
        ({"type": "formula", "formula": {"type": "boolean", "boolean": False}}, False),
        ({"type": "formula", "formula": {"type": "date", "date": None}}, None),
        ({"type": "rollup", "rollup": {"type": "number", "number": 2, "function": "count"}}, 2),
        (
            {
                "type": "rollup",
                "rollup": {
                    "type": "array",
                    "array": [
                        {"type": "title", "title": [{"plain_text": "x"}]},
                        {"type": "number", "number": 1},
                    ],
                    "function": "show_original",
                },
            },
            ["x", 1],
        ),
        ({"type": "rollup", "rollup": {"type": "unsupported", "unsupported": {}}}, None),
        ({"type": "unique_id", "unique_id": {"number": 3, "prefix": "RL"}}, "RL-3"),
        ({"type": "unique_id", "unique_id": {"number": 3, "prefix": None}}, "3"),
        ({"type": "people", "people": [{"object": "user", "id": "u"}]}, [{"id": "u"}]),
        ({"type": "relation", "relation": [{"id": "p"}], "has_more": False}, ["p"]),
        (
            {
                "type": "files",
                "files": [{"name": "a", "type": "file", "file": {"url": "signed", "expiry_time": "t"}}],
            },
            [{"name": "a"}],
        ),
        ({"type": "verification", "verification": {"state": "verified", "verified_by": None}}, "verified"),
        ({"type": "button", "button": {}}, None),
        ({"type": "something new", "something new": {"x": 1}}, None),
    ],
)
def test_plain_values(value: dict[str, Any], plain: Any) -> None:
    assert plain_value(value) == plain


@pytest.mark.parametrize(
    ("kind", "value", "typed"),
    [
        ("title", "x", [{"type": "text", "text": {"content": "x"}}]),
        ("rich_text", None, []),
        ("number", 1.5, 1.5),
        ("number", None, None),
        ("checkbox", None, False),
        ("select", "", None),
        ("select", "a", {"name": "a"}),
        ("multi_select", "a", [{"name": "a"}]),
        ("multi_select", None, []),
        ("date", "2026-01-01", {"start": "2026-01-01"}),
        ("date", {"start": "a", "end": "b"}, {"start": "a", "end": "b"}),
        ("people", [{"id": "u", "name": "n"}, "v"], [{"id": "u"}, {"id": "v"}]),
        ("relation", ["p"], [{"id": "p"}]),
        ("email", "", None),
        (
            "files",
            ["https://x"],
            [{"name": "https://x", "type": "external", "external": {"url": "https://x"}}],
        ),
    ],
)
def test_typed_values(kind: str, value: Any, typed: Any) -> None:
    assert is_writable(kind)
    assert typed_value("Field", kind, value) == {kind: typed}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("number", "7"),
        ("number", True),
        ("checkbox", "yes"),
        ("title", 7),
        ("date", 7),
        ("date", {"end": "b"}),
        ("people", [{"name": "n"}]),
        ("files", [{"name": "kept by Notion"}]),
        ("formula", 1),
        ("unique_id", "RL-3"),
    ],
)
def test_values_of_another_type_are_refused_by_name_only(kind: str, value: Any) -> None:
    with pytest.raises(SchemaMismatch, match="Field") as caught:
        typed_value("Field", kind, value)
    assert str(value) not in str(caught.value)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=50).map(lambda text: text * 300))
def test_a_text_in_pieces_is_the_text(text: str) -> None:
    pieces = [item["text"]["content"] for item in text_items(text)]
    assert "".join(pieces) == text
    assert all(0 < len(piece.encode("utf-16-le")) // 2 <= TEXT_ITEM_UNITS for piece in pieces)


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("Nickname is not a property that exists.", ("Nickname",)),
        ("Value is expected to be rich_text. Link is expected to be files.", ("Value", "Link")),
        (
            'body failed validation: body.properties.Score.number should be a number or `null`, instead was `"7"`.',
            ("Score",),
        ),
        ('Invalid status option. Status option "Private value" does not exist".', ()),
    ],
)
def test_only_property_names_are_kept_of_a_message(message: str, fields: tuple[str, ...]) -> None:
    detail = error_detail({"object": "error", "code": "validation_error", "message": message})
    assert (detail.code, detail.fields) == ("validation_error", fields)
