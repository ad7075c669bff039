"""The adapter's pure parts: cursors, ids, settings, errors, schemas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from castiel.adapters.base import ExternalRecord
from castiel.adapters.errors_table import classify
from castiel.adapters.http import HttpReply
from castiel.adapters.salesforce import PROVIDER
from castiel.adapters.salesforce.cursor import begin
from castiel.adapters.salesforce.dialect import DIALECT, read_error, read_quota
from castiel.adapters.salesforce.ids import full_id, is_id
from castiel.adapters.salesforce.moments import literal, moment_text, parse_moment
from castiel.adapters.salesforce.settings import api_path, external_id_field, page_size
from castiel.domain.conversion import ConversionSchema, to_external, to_shard
from castiel.errors import (
    AuthenticationFailed,
    ConfigurationError,
    MalformedResponse,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    RecordNotFound,
)
from tests.support.providers import connection_for

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
IDS = ("003gL000000006nQAA", "003gL000000008PQAQ", "003gL00000000oHQAQ")


def record(number: int, at: datetime) -> ExternalRecord:
    return ExternalRecord("Contact", IDS[number], {}, at, version=moment_text(at))


def test_a_position_moves_over_records_that_are_older_than_the_query_only() -> None:
    pass_ = begin(None, NOON, timedelta(minutes=10))
    pass_ = pass_.after(
        [record(0, NOON - timedelta(hours=2)), record(1, NOON), record(2, NOON + timedelta(hours=1))]
    )
    assert pass_.cursor() == {
        "modstamp": "2026-11-01T10:00:00.000+0000",
        "id": IDS[0],
        "passStartedAt": "2026-11-01T12:00:00.000+0000",
    }
    assert pass_.final_cursor() == {"modstamp": "2026-11-01T12:00:00.000+0000", "id": ""}


def test_a_pass_that_goes_on_later_keeps_its_start() -> None:
    hour = timedelta(hours=1)
    saved = begin(None, NOON, timedelta(minutes=10)).after([record(0, NOON - hour)]).cursor()
    later = begin(saved, NOON + 5 * hour, timedelta(minutes=10))
    assert later.position is not None
    assert later.position.condition() == (
        "(SystemModstamp > 2026-11-01T11:00:00.000Z)"
        f" OR (SystemModstamp = 2026-11-01T11:00:00.000Z AND Id > '{IDS[0]}')"
    )
    later = later.after([record(1, NOON + 2 * hour)])
    assert later.cursor()["modstamp"] == "2026-11-01T14:00:00.000+0000"
    assert later.final_cursor()["modstamp"] == "2026-11-01T12:00:00.000+0000"


def test_a_new_pass_looks_behind_the_last_one() -> None:
    saved = {"modstamp": "2026-11-01T11:00:00.000+0000", "id": IDS[0]}
    pass_ = begin(saved, NOON, timedelta(minutes=10))
    assert pass_.position is not None
    assert pass_.position.condition() == "SystemModstamp >= 2026-11-01T10:50:00.000Z"
    assert pass_.final_cursor() == saved
    older = pass_.after([record(1, NOON - timedelta(minutes=65))])
    assert older.final_cursor() == saved
    # Interrupted before it moved, it still looks back.
    assert begin(pass_.cursor(), NOON, timedelta(minutes=10)).position == pass_.position


def test_times_are_read_and_written_as_salesforce_does() -> None:
    assert parse_moment("2026-11-01T10:00:00.000+0000") == datetime(2026, 11, 1, 10, tzinfo=UTC)
    assert moment_text(datetime(2026, 11, 1, 10, 0, 0, 250_000, tzinfo=UTC)) == "2026-11-01T10:00:00.250+0000"
    assert literal("2026-11-01T12:00:00.000+0200") == "2026-11-01T10:00:00.000Z"
    with pytest.raises(MalformedResponse):
        parse_moment("soon")


def test_ids() -> None:
    # The example of Salesforce's documentation of id fields has no suffix; this pair is simple-salesforce's.
    assert full_id("001A0000006Vm9r") == "001A0000006Vm9rIAC"
    assert full_id("0" * 15) == "0" * 15 + "AAA"
    assert full_id("A" * 15) == "A" * 15 + "555"
    assert full_id("short") == "short"
    assert is_id(IDS[0])
    assert not is_id("003gL0000000' OR ''='")


def settings(**given: Any) -> Any:
    return connection_for(PROVIDER, given)


def test_settings_have_defaults_and_are_checked() -> None:
    assert api_path(settings()) == "/services/data/v62.0"
    assert api_path(settings(apiVersion="64.0")) == "/services/data/v64.0"
    assert external_id_field(settings()) == "Castiel_Id__c"
    assert [page_size(settings(**given)) for given in ({}, {"pageSize": 5}, {"pageSize": 9999})] == [
        2000,
        200,
        2000,
    ]
    for given in ({"apiVersion": "../x"}, {"pageSize": "many"}, {"pageSize": -1}, {"pageSize": True}):
        with pytest.raises(ConfigurationError, match=next(iter(given))):
            (api_path if "apiVersion" in given else page_size)(settings(**given))


def reply(status: int, body: bytes = b"", **headers: str) -> HttpReply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpReply(status, httpx.Headers(named), body, "https://org.example")


def error_of(status: int, body: bytes) -> ProviderError:
    detail = read_error(reply(status, body))
    assert detail is not None
    return classify(DIALECT.rules, "salesforce", status, detail)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b'[{"errorCode": "INVALID_SESSION_ID", "message": "m"}]', AuthenticationFailed),
        (403, b"Bad_OAuth_Token", AuthenticationFailed),
        (403, b'[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "m"}]', ProviderRateLimited),
        (404, b'[{"errorCode": "NOT_FOUND", "message": "m"}]', RecordNotFound),
        (400, b'[{"errorCode": "SOMETHING_NEW", "message": "m"}]', ProviderRejected),
        (302, b"", ProviderRejected),
        (406, b"", ProviderRateLimited),
        (420, b"", ProviderRateLimited),
        (500, b"<html>", ProviderUnavailable),
        (503, b"[]", ProviderUnavailable),
        (400, b'[{"errorCode": ["a list"], "fields": "text"}]', ProviderRejected),
        (400, b'["text"]', ProviderRejected),
    ],
)
def test_an_error_is_told_by_its_code_and_then_by_its_status(
    status: int, body: bytes, error: type[ProviderError]
) -> None:
    assert type(error_of(status, body)) is error


def test_an_errors_text_has_the_code_and_the_fields_and_no_value() -> None:
    body = (
        b'[{"errorCode": "INVALID_FIELD", "message": "secret value", "fields": ["Email", "a secret value"]}]'
    )
    assert str(error_of(400, body)) == "salesforce answered 400 INVALID_FIELD (Email)"
    assert "secret" not in str(error_of(400, b'[{"errorCode": "a secret value"}]'))


@pytest.mark.parametrize(
    ("header", "used"),
    [
        ("api-usage=25/100", 0.25),
        ("api-usage=150/100; per-app-api-usage=17/250(appName=castiel)", 1.0),
        ("per-app-api-usage=17/250(appName=castiel)", None),
        ("", None),
    ],
)
def test_the_quota_is_the_orgs_own(header: str, used: float | None) -> None:
    quota = read_quota(reply(200, sforce_limit_info=header))
    assert (quota.used if quota else None) == used


def test_a_record_goes_through_its_default_schema_and_back() -> None:
    schemas = {data["entity"]: ConversionSchema.model_validate(data) for data in PROVIDER.default_schemas}
    contact = {
        "Id": IDS[0],
        "FirstName": "Ada",
        "LastName": "King",
        "Name": "Ada King",
        "Email": "ada@engines.example",
        "Birthdate": "1815-12-10",
        "MailingCity": "London",
        "AccountId": None,
    }
    shard = to_shard(schemas["Contact"], contact)
    assert shard.fields["name"] == "Ada King"
    assert shard.fields["birthDate"] == "1815-12-10"
    assert shard.fields["city"] == "London"
    back = to_external(schemas["Contact"], shard.fields, only={"lastName", "name", "city", "accountId"})
    assert back == {"LastName": "King", "MailingCity": "London"}
    assert {name: schema.shard_type for name, schema in schemas.items()} == {
        "Account": "account",
        "Contact": "contact",
        "Opportunity": "opportunity",
        "Lead": "lead",
    }
