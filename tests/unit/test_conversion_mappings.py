from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from castiel.domain.conversion import ConversionSchema, carried_fields, fed_fields, to_external, to_shard
from castiel.errors import ConfigurationError, ConversionFailed


def schema(*mappings: dict[str, Any], **more: Any) -> ConversionSchema:
    return ConversionSchema.model_validate(
        {
            "id": "schema-1",
            "tenantId": "tenant-1",
            "integrationId": "salesforce",
            "entity": "Contact",
            "shardType": "contact",
            "mappings": mappings,
            **more,
        }
    )


def direct(field: str, source: str, **more: Any) -> dict[str, Any]:
    return {"kind": "direct", "field": field, "source": source, **more}


def shard(mapping: dict[str, Any], record: dict[str, Any]) -> Any:
    return to_shard(schema(mapping), record).fields


def problems_of(mapping: dict[str, Any], record: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ConversionFailed) as caught:
        shard(mapping, record)
    return caught.value.problems


class TestDirect:
    def test_both_ways(self) -> None:
        both = schema(direct("email", "Email"), direct("employer", "Account.Name"))
        record = {"Email": "ada@example.com", "Account": {"Name": "Engines"}, "Other": 1}
        fields = to_shard(both, record).fields
        assert fields == {"email": "ada@example.com", "employer": "Engines"}
        assert to_external(both, fields) == {"Email": "ada@example.com", "Account": {"Name": "Engines"}}

    def test_dotted_fields_make_objects(self) -> None:
        nested = schema(
            direct("address.city", "City"), direct("address.geo.lat", "Lat"), direct("name", "Name")
        )
        record = {"City": "London", "Lat": 51.5, "Name": "Ada"}
        fields = to_shard(nested, record).fields
        assert fields == {"address": {"city": "London", "geo": {"lat": 51.5}}, "name": "Ada"}
        assert to_external(nested, fields) == record

    def test_every_carried_field_is_there_even_when_the_record_has_none(self) -> None:
        nested = schema(direct("address.city", "City"), direct("name", "Name"), direct("x", "y.z"))
        assert to_shard(nested, {"y": 3}).fields == {"address": {"city": None}, "name": None, "x": None}
        assert carried_fields(nested) == {"address", "name", "x"}

    def test_jmespath_sources_come_in_and_go_out_by_their_external_name(self) -> None:
        mapping = direct("email", "emails[?primary].address | [0]", external="primaryEmail")
        record = {"emails": [{"address": "a@x"}, {"address": "b@x", "primary": True}]}
        assert shard(mapping, record) == {"email": "b@x"}
        assert to_external(schema(mapping), {"email": "c@x"}) == {"primaryEmail": "c@x"}

    def test_quoted_names(self) -> None:
        due = schema(direct("dueOn", 'properties."Due date"'))
        assert to_shard(due, {"properties": {"Due date": "2025-01-01"}}).fields == {"dueOn": "2025-01-01"}
        assert to_external(due, {"dueOn": "x"}) == {"properties": {"Due date": "x"}}

    def test_directions(self) -> None:
        mixed = schema(
            direct("a", "A"), direct("i", "I", direction="inbound"), direct("o", "O", direction="outbound")
        )
        assert to_shard(mixed, {"A": 1, "I": 2, "O": 3}).fields == {"a": 1, "i": 2}
        assert to_external(mixed, {"a": 1, "i": 2, "o": 3}) == {"A": 1, "O": 3}
        assert carried_fields(mixed) == {"a", "i"}
        assert fed_fields(mixed) == {"a", "o"}

    def test_an_expression_that_can_not_read_the_record_is_its_fields_problem(self) -> None:
        mapping = direct("n", "length(Items)", direction="inbound")
        ((field, problem),) = problems_of(mapping, {"Items": 4711})
        assert field == "n"
        assert "4711" not in problem


class TestOnlyWhatChanged:
    both = schema(direct("address.city", "City"), direct("address.zip", "Zip"), direct("name", "Name"))

    @pytest.mark.parametrize(
        ("only", "expected"),
        [
            (["name"], {"Name": "Ada"}),
            (["address"], {"City": "London", "Zip": None}),
            (["address.city"], {"City": "London"}),
            (["unmapped"], {}),
            ([], {}),
        ],
    )
    def test_only_the_fields_fed_by_it_are_written(self, only: list[str], expected: dict[str, Any]) -> None:
        fields = {"name": "Ada", "address": {"city": "London"}, "unmapped": 1}
        assert to_external(self.both, fields, only) == expected

    def test_what_was_cleared_is_written_as_null(self) -> None:
        assert to_external(self.both, {"address": None}, ["address", "name"]) == {
            "City": None,
            "Zip": None,
            "Name": None,
        }

    def test_a_new_record_leaves_out_what_the_shard_never_had(self) -> None:
        assert to_external(self.both, {"name": "Ada", "address": {"zip": None}}) == {
            "Name": "Ada",
            "Zip": None,
        }


class TestRequired:
    mapping = direct("lastName", "LastName", required=True)

    @pytest.mark.parametrize("record", [{}, {"LastName": None}, {"LastName": "  "}])
    def test_a_record_without_a_value_fails(self, record: dict[str, Any]) -> None:
        assert problems_of(self.mapping, record) == [
            ("lastName", "is required, and the record has no value for it")
        ]

    @pytest.mark.parametrize("value", [0, False, "x"])
    def test_zero_and_false_are_values(self, value: Any) -> None:
        assert shard(self.mapping, {"LastName": value}) == {"lastName": value}

    def test_it_can_not_be_cleared_or_left_out_of_a_new_record_either(self) -> None:
        for only in (None, ["lastName"]):
            with pytest.raises(ConversionFailed):
                to_external(schema(self.mapping), {"firstName": "Ada"}, only)
        assert to_external(schema(self.mapping), {}, ["firstName"]) == {}

    def test_all_problems_are_told_at_once_without_values(self) -> None:
        many = schema(
            self.mapping,
            direct("age", "Age", type="integer"),
            direct("at", "At", type="datetime"),
            direct("a", "A"),
        )
        with pytest.raises(ConversionFailed) as caught:
            to_shard(many, {"Age": "secret-age", "At": "secret-time", "A": 1})
        assert [field for field, _ in caught.value.problems] == ["lastName", "age", "at"]
        assert "secret" not in str(caught.value)


class TestDefault:
    def test_it_fills_an_empty_field(self) -> None:
        mapping = {"kind": "default", "field": "country", "source": "Country", "value": "FR"}
        assert shard(mapping, {"Country": ""}) == {"country": "FR"}
        assert shard(mapping, {"Country": "DE"}) == {"country": "DE"}
        assert to_external(schema(mapping), {}) == {"Country": "FR"}
        assert to_external(schema(mapping), {"country": "DE"}) == {"Country": "DE"}

    def test_without_a_source_it_is_a_constant(self) -> None:
        constant = schema({"kind": "default", "field": "origin", "value": "crm"})
        assert to_shard(constant, {"origin": "x"}).fields == {"origin": "crm"}
        assert to_external(constant, {"origin": "crm"}) == {}

    def test_a_constant_of_the_external_record_is_written_on_creation_only(self) -> None:
        constant = schema(
            {"kind": "default", "external": "RecordType.Name", "value": "Person"}, direct("a", "A")
        )
        assert to_shard(constant, {"A": 1}).fields == {"a": 1}
        assert to_external(constant, {"a": 1}) == {"RecordType": {"Name": "Person"}, "A": 1}
        assert to_external(constant, {"a": 1}, ["a"]) == {"A": 1}

    def test_records_do_not_share_a_constant(self) -> None:
        constant = schema({"kind": "default", "field": "tags", "value": []})
        to_shard(constant, {}).fields["tags"].append("mine")
        assert to_shard(constant, {}).fields == {"tags": []}

    @pytest.mark.parametrize("mapping", [{"value": 1}, {"field": "a", "value": None}, {"field": "a"}])
    def test_one_that_does_nothing_is_refused(self, mapping: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            schema({"kind": "default", **mapping})


class TestTransform:
    def test_transforms_run_in_order_and_back_in_reverse(self) -> None:
        mapping = {
            "kind": "transform",
            "field": "labels",
            "source": "labels",
            "transforms": [
                {"name": "pluck", "options": {"key": "name"}},
                "sort",
                {"name": "upper", "each": True},
            ],
        }
        assert shard(mapping, {"labels": [{"name": "b"}, {"name": "a"}]}) == {"labels": ["A", "B"]}
        assert to_external(schema(mapping), {"labels": ["A", "B"]}) == {
            "labels": [{"name": "A"}, {"name": "B"}]
        }

    def test_its_way_back_may_be_said(self) -> None:
        mapping = {
            "kind": "transform",
            "field": "body",
            "source": "html",
            "transforms": ["html_to_text"],
            "outboundTransforms": ["text_to_html"],
        }
        assert shard(mapping, {"html": "<p>a<br>b"}) == {"body": "a\nb"}
        assert to_external(schema(mapping), {"body": "a\nb"}) == {"html": "<p>a<br>b</p>"}

    def test_nothing_is_transformed_into_nothing(self) -> None:
        mapping = {"kind": "transform", "field": "email", "source": "Email", "transforms": ["email"]}
        assert shard(mapping, {"Email": None}) == {"email": None}
        assert to_external(schema(mapping), {"email": None}) == {"Email": None}

    def test_a_value_it_does_not_take_is_its_fields_problem(self) -> None:
        mapping = {"kind": "transform", "field": "email", "source": "Email", "transforms": ["email"]}
        assert problems_of(mapping, {"Email": "nobody"}) == [("email", "is not an e-mail address")]
        assert problems_of(mapping, {"Email": 7}) == [("email", "is not text")]


class TestComposite:
    def test_parts_are_joined_and_split_at_the_first(self) -> None:
        mapping = {
            "kind": "composite",
            "field": "name",
            "parts": {"first": "FirstName", "last": "LastName"},
            "separator": " ",
            "split": "first",
        }
        assert shard(mapping, {"FirstName": "Ada", "LastName": "King Lovelace"}) == {
            "name": "Ada King Lovelace"
        }
        assert shard(mapping, {"LastName": "Lovelace"}) == {"name": "Lovelace"}
        assert shard(mapping, {}) == {"name": None}
        both = schema(mapping)
        assert to_external(both, {"name": "Ada King Lovelace"}) == {
            "FirstName": "Ada",
            "LastName": "King Lovelace",
        }
        assert to_external(both, {"name": None}) == {"FirstName": None, "LastName": None}

    def test_split_at_the_last(self) -> None:
        mapping = {
            "kind": "composite",
            "field": "name",
            "parts": {"first": "FirstName", "last": "LastName"},
            "separator": " ",
            "split": "last",
        }
        assert to_external(schema(mapping), {"name": "Ada Augusta King"}) == {
            "FirstName": "Ada Augusta",
            "LastName": "King",
        }
        assert to_external(schema(mapping), {"name": "King"}) == {"FirstName": None, "LastName": "King"}

    def test_a_template_needs_all_its_parts(self) -> None:
        mapping = {
            "kind": "composite",
            "field": "place",
            "direction": "inbound",
            "parts": {"city": "City", "zip": "Zip"},
            "template": "{zip} {city} ({zip})",
        }
        assert shard(mapping, {"City": "{zip}", "Zip": 123}) == {"place": "123 {zip} (123)"}
        assert shard(mapping, {"City": "London"}) == {"place": None}

    def test_an_object_of_its_parts_goes_back_as_it_came(self) -> None:
        mapping = {
            "kind": "composite",
            "field": "address",
            "parts": {"city": "MailingCity", "zip": "Mailing.Zip"},
        }
        both = schema(mapping)
        assert to_shard(both, {"MailingCity": "London"}).fields == {"address": {"city": "London"}}
        assert to_shard(both, {}).fields == {"address": None}
        assert to_external(both, {"address": {"city": "London"}}, ["address"]) == {
            "MailingCity": "London",
            "Mailing": {"Zip": None},
        }
        with pytest.raises(ConversionFailed, match="address: is not an object"):
            to_external(both, {"address": "London"})


class TestConditional:
    mapping: ClassVar[dict[str, Any]] = {
        "kind": "conditional",
        "field": "state",
        "cases": [
            {"when": "pull_request.merged", "value": "merged"},
            {"when": "state == 'closed'", "value": "done"},
            {"when": "labels[?name == 'wip']", "source": "draft_state", "transforms": ["lower"]},
        ],
        "otherwise": {"source": "state"},
        "external": "state",
        "outboundCases": [{"when": "state == 'done' || state == 'merged'", "value": "closed"}],
        "outboundOtherwise": {"value": "open"},
    }

    @pytest.mark.parametrize(
        ("record", "expected"),
        [
            ({"state": "closed", "pull_request": {"merged": True}}, "merged"),
            ({"state": "closed", "pull_request": {"merged": False}}, "done"),
            ({"state": "open", "labels": [{"name": "wip"}], "draft_state": "WIP"}, "wip"),
            ({"state": "open", "labels": []}, "open"),
        ],
    )
    def test_the_first_case_that_holds_decides(self, record: dict[str, Any], expected: str) -> None:
        assert shard(self.mapping, record) == {"state": expected}

    def test_it_goes_back_by_its_own_cases(self) -> None:
        both = schema(self.mapping)
        assert to_external(both, {"state": "merged"}) == {"state": "closed"}
        assert to_external(both, {"state": "wip"}, ["state"]) == {"state": "open"}
        assert to_external(both, {"state": "wip"}, ["title"]) == {}

    def test_without_otherwise_there_is_no_value(self) -> None:
        mapping = {
            "kind": "conditional",
            "field": "f",
            "direction": "inbound",
            "cases": [{"when": "a", "value": 1}],
        }
        assert shard(mapping, {"a": []}) == {"f": None}

    def test_a_change_of_what_its_way_back_reads_is_pushed(self) -> None:
        mapping = {
            "kind": "conditional",
            "field": "f",
            "cases": [{"when": "a", "value": 1}],
            "external": "F",
            "outboundCases": [{"when": "other.deep == `1`", "value": "x"}],
        }
        assert to_external(schema(mapping), {"other": {"deep": 1}}, ["other"]) == {"F": "x"}
        assert fed_fields(schema(mapping)) == {"f", "other"}


class TestDerived:
    company: ClassVar[dict[str, Any]] = {
        "shardType": "company",
        "key": "Email",
        "keyTransforms": ["email_domain"],
        "condition": "Email && Account.Name",
        "mappings": [
            direct("name", "Account.Name", required=True),
            {"kind": "transform", "field": "domain", "source": "Email", "transforms": ["email_domain"]},
        ],
    }

    def test_a_company_from_a_contact(self) -> None:
        rules = schema(direct("email", "Email"), derived=[self.company])
        converted = to_shard(rules, {"Email": "ada@Engines.example", "Account": {"Name": "Engines"}})
        (record,) = converted.derived
        assert (record.shard_type, record.key) == ("company", "engines.example")
        assert record.fields == {"name": "Engines", "domain": "engines.example"}
        assert to_external(rules, {"email": "x@y.example", "name": "N", "domain": "d"}) == {
            "Email": "x@y.example"
        }
        assert carried_fields(rules) == {"email"}

    @pytest.mark.parametrize(
        "record", [{"Email": "ada@engines.example"}, {"Account": {"Name": "Engines"}}, {}]
    )
    def test_none_where_the_condition_does_not_hold(self, record: dict[str, Any]) -> None:
        assert to_shard(schema(direct("email", "Email"), derived=[self.company]), record).derived == []

    def test_one_for_each_item_and_once_for_each_key(self) -> None:
        rule = {
            "shardType": "person",
            "each": "assignees",
            "key": "login",
            "condition": "login != parent.owner",
            "mappings": [direct("login", "login"), direct("from", "parent.id")],
        }
        record = {"id": 7, "owner": "me", "assignees": [{"login": "a"}, {"login": "me"}, {"login": "a"}, {}]}
        converted = to_shard(schema(direct("id", "id"), derived=[rule]), record)
        assert [(d.key, d.fields) for d in converted.derived] == [("a", {"login": "a", "from": 7})]

    def test_items_that_are_no_objects_are_called_value(self) -> None:
        rule = {"shardType": "tag", "each": "tags", "key": "value", "mappings": [direct("name", "value")]}
        converted = to_shard(schema(direct("id", "id"), derived=[rule]), {"tags": ["x", 2, None]})
        assert [(d.key, d.fields) for d in converted.derived] == [("x", {"name": "x"}), ("2", {"name": 2})]

    def test_its_problems_name_its_type(self) -> None:
        rule = {**self.company, "condition": "Email"}
        with pytest.raises(ConversionFailed) as caught:
            to_shard(schema(direct("email", "Email"), derived=[rule]), {"Email": "a@b.example"})
        assert [field for field, _ in caught.value.problems] == ["company.name"]
        with pytest.raises(ConversionFailed) as caught:
            to_shard(schema(direct("email", "Email"), derived=[rule]), {"Email": "nobody"})
        assert caught.value.problems == [("company", "its key is not an e-mail address")]


class TestSchemaObject:
    def test_it_survives_json(self) -> None:
        full = schema(
            direct("a", "A", type="integer"),
            TestConditional.mapping,
            {
                "kind": "transform",
                "field": "t",
                "source": "T",
                "transforms": ["trim"],
                "outboundTransforms": [],
            },
            derived=[TestDerived.company],
            matchRules={"strategies": []},
            labelField="a",
        )
        again = ConversionSchema.model_validate_json(full.to_json_text())
        assert again == full
        assert again.to_json() == full.to_json()

    def test_a_wrong_schema_does_not_run(self) -> None:
        wrong = schema(direct("a", "A["), direct("b", "B"))
        with pytest.raises(ConfigurationError, match=r"schema-1.*mappings\[0\] \(a\)"):
            to_shard(wrong, {"B": 1})

    def test_a_changed_copy_has_its_own_plan(self) -> None:
        first = schema(direct("a", "A"))
        assert to_shard(first, {"A": 1, "B": 2}).fields == {"a": 1}
        second = first.model_copy(update={"mappings": schema(direct("b", "B")).mappings})
        assert to_shard(second, {"A": 1, "B": 2}).fields == {"b": 2}
        assert to_shard(first, {"A": 1, "B": 2}).fields == {"a": 1}
