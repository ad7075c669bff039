from __future__ import annotations

import json
import re
from typing import Any

import pytest

from castiel.domain.conversion import ConversionSchema, to_external, to_shard, validate_schema
from castiel.domain.fields import FieldDescription
from tests.support.transform_table import DOCUMENT, render, written

TEXT = DOCUMENT.read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def examples(kind: str) -> list[dict[str, Any]]:
    return [json.loads(block) for block in blocks(kind)]


def schema(*mappings: dict[str, Any], derived: Any = ()) -> ConversionSchema:
    (document,) = examples("json schema")
    return ConversionSchema.model_validate(
        {**document, "mappings": mappings, "derived": derived, "labelField": None}
    )


def test_the_schema_on_the_page_is_a_good_one() -> None:
    (document,) = examples("json schema")
    assert validate_schema(ConversionSchema.model_validate(document), ()) == []


@pytest.mark.parametrize("example", examples("json example"), ids=lambda example: example["mapping"]["kind"])
def test_examples_do_what_they_say(example: dict[str, Any]) -> None:
    one = schema(example["mapping"])
    assert to_shard(one, example["record"]).fields == example["fields"]
    assert to_external(one, example["fields"]) == example["back"]
    assert validate_schema(one, ()) == []


def test_every_kind_has_an_example() -> None:
    kinds = {example["mapping"]["kind"] for example in examples("json example")}
    assert kinds == {"direct", "default", "transform", "composite", "conditional"}


def test_the_derived_example_does_what_it_says() -> None:
    (example,) = examples("json derived")
    found = to_shard(schema(derived=[example["rule"]]), example["record"]).derived
    assert [
        {"shardType": record.shard_type, "key": record.key, "fields": record.fields} for record in found
    ] == example["derived"]


def test_the_problem_on_the_page_is_told_like_that() -> None:
    (text,) = blocks("text problem")
    wrong = schema({"kind": "direct", "field": "email", "source": "Emial"})
    assert [str(problem) for problem in validate_schema(wrong, [FieldDescription("Email", "email")])] == [
        text.strip()
    ]


def test_the_table_of_transforms_is_the_registrys() -> None:
    assert written() == render(), "run: python -m tests.support.transform_table"
