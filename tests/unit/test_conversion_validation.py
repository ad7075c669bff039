from __future__ import annotations

from typing import Any

import pytest

from castiel.domain.conversion import ConversionSchema, SchemaProblem, validate_schema
from castiel.domain.fields import EntityDescription, FieldDescription

CONTACT = (
    FieldDescription("Id", "string", writable=False),
    FieldDescription("FirstName", "string"),
    FieldDescription("LastName", "string", required=True),
    FieldDescription("Email", "email"),
    FieldDescription("Account.Name", "string", writable=False),
    FieldDescription("Address", "object"),
    FieldDescription("Tags", "list"),
    FieldDescription("Status", "enum", values=("New", "Working", "Closed")),
    FieldDescription("v1.0 date", "date"),
)
LAST_NAME: dict[str, Any] = {"kind": "direct", "field": "lastName", "source": "LastName"}


def check(*mappings: dict[str, Any], fields: Any = CONTACT, **more: Any) -> list[SchemaProblem]:
    schema = ConversionSchema.model_validate(
        {
            "id": "s",
            "tenantId": "t",
            "integrationId": "salesforce",
            "entity": "Contact",
            "shardType": "contact",
            "mappings": [LAST_NAME, *mappings],
            **more,
        }
    )
    return validate_schema(schema, fields)


def direct(source: str, **more: Any) -> dict[str, Any]:
    return {"kind": "direct", "field": "f", "source": source, **more}


@pytest.mark.parametrize(
    "mapping",
    [
        direct("FirstName"),
        direct("Account.Name", direction="inbound"),
        direct("Account.Name", external="FirstName"),
        direct("Account", direction="inbound"),
        direct("Address.City"),
        direct("Tags[0].name", direction="inbound"),
        direct("Tags[?kind == Other].name | [0]", direction="inbound"),
        direct('"v1.0 date"'),
        direct("sort_by(Tags, &anything)", direction="inbound"),
        direct("join(' ', [FirstName, LastName])", direction="inbound"),
        {"kind": "default", "external": "Status", "value": "New"},
    ],
)
def test_nothing_is_wrong_with_a_good_mapping(mapping: dict[str, Any]) -> None:
    assert check(mapping) == []


@pytest.mark.parametrize(
    ("mapping", "problem", "suggestion"),
    [
        (direct("Emial"), "the entity has no field 'Emial'", "did you mean 'Email'?"),
        (direct("firstname"), "the entity has no field 'firstname'", "did you mean 'FirstName'?"),
        (
            direct("account.name", direction="inbound"),
            "no field 'account.name'",
            "did you mean 'Account.Name'?",
        ),
        (direct("Zebra"), "the entity has no field 'Zebra'", None),
        (direct("Email.domain", direction="inbound"), "'Email' is a email and has no 'domain'", None),
        (direct("FirstName["), "'FirstName[' is not a JMESPath expression near character", None),
        (
            direct("Tags[0]"),
            "'Tags[0]' is not a plain path and can't be written back",
            "name the field to write",
        ),
        (direct("length(Tgas)", direction="inbound"), "no field 'Tgas'", "did you mean 'Tags'?"),
        (direct("Id"), "'Id' can't be written", "set 'direction' to 'inbound'"),
        (direct("Email", external="Emial"), "no field 'Emial'", "did you mean 'Email'?"),
        (direct("Email", field="a..b"), "'a..b' is not a field's path", None),
        (
            direct("Email", field="lastName.x"),
            "'lastName.x', or what it is part of, is filled more than once",
            None,
        ),
        (direct("LastName"), "'LastName', or what it is part of, is written more than once", None),
        (direct("Email", requird=True), "there is no 'requird'", "did you mean 'required'?"),
        (
            {"kind": "default", "external": "Status", "value": "new"},
            "'Status' does not take the value 'new'",
            "did you mean 'New'?",
        ),
        (
            {"kind": "default", "field": "f", "source": "Email", "value": "x", "type": "integer"},
            "'value' is not a number",
            None,
        ),
        (
            {"kind": "transform", "field": "f", "source": "Email", "transforms": ["emial"]},
            "there is no transform 'emial'",
            "did you mean 'email'?",
        ),
        (
            {"kind": "transform", "field": "f", "source": "Email", "transforms": ["email_domain"]},
            "transform 'email_domain' has no way back",
            "say the way back in 'outboundTransforms'",
        ),
        (
            {
                "kind": "transform",
                "field": "f",
                "source": "Email",
                "transforms": [{"name": "phone", "options": {"regoin": "FR"}}],
            },
            "transform 'phone' has no option 'regoin'",
            "did you mean 'region'?",
        ),
        (
            {
                "kind": "transform",
                "field": "f",
                "source": "Email",
                "transforms": [{"name": "phone", "options": {"region": 33}}],
            },
            "transform 'phone', option 'region': Input should be a valid string",
            None,
        ),
        (
            {
                "kind": "transform",
                "field": "f",
                "source": "Email",
                "transforms": [{"name": "datetime", "options": {"zone": "Mars/North"}}],
            },
            "transform 'datetime': 'Mars/North' is not an IANA time zone",
            None,
        ),
        (
            {"kind": "composite", "field": "f", "parts": {"a": "FirstName"}, "separator": " "},
            "text put together can't be taken apart again",
            "give 'separator' and 'split'",
        ),
        (
            {
                "kind": "composite",
                "field": "f",
                "parts": {"a": "FirstName"},
                "template": "{b}",
                "direction": "inbound",
            },
            "the template names 'b', which is not one of its parts",
            None,
        ),
        (
            {"kind": "conditional", "field": "f", "cases": [{"when": "Email", "value": 1}]},
            "a conditional does not know its way back",
            "say it in 'external' and 'outboundCases'",
        ),
        (
            {"kind": "conditional", "field": "f", "direction": "inbound", "cases": [{"value": 1}]},
            "a case has no 'when'",
            "make it 'otherwise'",
        ),
        (
            {
                "kind": "conditional",
                "field": "f",
                "direction": "inbound",
                "cases": [{"when": "Staus == 'New'", "source": "Email"}],
            },
            "no field 'Staus'",
            "did you mean 'Status'?",
        ),
    ],
)
def test_a_problem_is_named_with_what_would_mend_it(
    mapping: dict[str, Any], problem: str, suggestion: str | None
) -> None:
    found = check(mapping)
    assert len(found) == 1, found
    (only,) = found
    assert only.severity == "error"
    assert only.where in (f"mappings[1] ({mapping.get('field') or mapping.get('external')})", "mappings")
    assert problem in only.problem
    told = f"{only.problem}; {only.suggestion}"
    assert suggestion is None or suggestion in told


def test_every_problem_is_told_at_once() -> None:
    found = check(
        {
            "kind": "transform",
            "field": "a",
            "source": "Emial",
            "transforms": ["nope", {"name": "truncate", "options": {"length": 0}}],
            "direction": "inbound",
        },
        direct("Tags["),
        labelField="lastNam",
    )
    assert [p.where for p in found] == [
        "mappings[1] (a)",
        "mappings[1] (a)",
        "mappings[2] (f)",
        "labelField",
        "mappings[1] (a)",
    ]
    assert str(found[3]) == "labelField: no mapping fills 'lastNam'; did you mean 'lastName'?"


def test_a_required_field_that_nothing_feeds_is_a_warning() -> None:
    schema = ConversionSchema.model_validate(
        {
            "id": "s",
            "tenantId": "t",
            "integrationId": "salesforce",
            "entity": "Contact",
            "shardType": "contact",
            "mappings": [direct("Email")],
        }
    )
    (warning,) = validate_schema(schema, CONTACT)
    assert warning.severity == "warning"
    assert "'LastName' is required to create a record" in warning.problem
    pull_only = schema.model_copy(
        update={"mappings": [schema.mappings[0].model_copy(update={"direction": "inbound"})]}
    )
    assert validate_schema(pull_only, CONTACT) == []


def test_a_required_object_is_fed_by_a_field_within_it() -> None:
    fields = [
        *CONTACT,
        FieldDescription("start", "object", required=True),
        FieldDescription("start.dateTime", "datetime"),
    ]
    assert check(direct("start.dateTime"), fields=fields) == []


def test_enum_tables_are_checked_against_the_fields_values() -> None:
    mapping = {
        "kind": "transform",
        "field": "status",
        "source": "Status",
        "transforms": [{"name": "enum", "options": {"values": {"New": "new", "Wroking": "busy"}}}],
    }
    error, warning = check(mapping)
    assert str(error) == "mappings[1] (status): 'Status' has no value 'Wroking'; did you mean 'Working'?"
    assert warning.severity == "warning"
    assert "records with 'Working', 'Closed' in 'Status' would fail" in warning.problem


def test_derived_rules_are_checked_too() -> None:
    rule = {
        "shardType": "company",
        "key": "Acount.Name",
        "condition": "Email &&",
        "keyTransforms": ["trimm"],
        "mappings": [direct("Emial"), direct("Email", nonsense=1)],
    }
    found = [str(problem) for problem in check(derived=[rule])]
    assert [text.split(": ")[0] for text in found] == [
        "derived[0] (company)",
        "derived[0] (company)",
        "derived[0] (company)",
        "derived[0] (company).mappings[1] (f)",
        "derived[0] (company)",
        "derived[0] (company).mappings[0] (f)",
    ]
    assert "did you mean 'Account.Name'?" in found[4]


def test_items_of_a_list_are_not_checked_against_the_entity() -> None:
    rule = {"shardType": "tag", "each": "Tags", "key": "name", "mappings": [direct("colour")]}
    assert check(derived=[rule]) == []
    (problem,) = check(derived=[{**rule, "each": "Tag"}])
    assert problem.suggestion == "did you mean 'Tags'?"


def test_without_discovered_fields_only_the_schema_itself_is_checked() -> None:
    assert check(direct("Whatever"), fields=()) == []
    assert len(check(direct("Whatever["), fields=())) == 1


def test_an_entity_finds_its_fields() -> None:
    entity = EntityDescription("Contact", "Contact", CONTACT)
    assert entity.field("Email") == FieldDescription("Email", "email")
    assert entity.field("email") is None
