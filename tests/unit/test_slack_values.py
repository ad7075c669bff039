"""Slack's texts, times, ids and errors, read and written."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.adapters.http import HttpReply
from castiel.adapters.slack.dialect import read_error
from castiel.adapters.slack.ids import split_message_id
from castiel.adapters.slack.moments import moment_of_number, moment_of_ts, ts_before, ts_of
from castiel.adapters.slack.schemas import DEFAULT_SCHEMAS
from castiel.adapters.slack.settings import channels, default_channel, look_back_hours, page_size
from castiel.adapters.slack.texts import escaped, plain
from castiel.domain.connections import Connection
from castiel.domain.conversion import ConversionSchema, to_external, to_shard
from castiel.errors import ConfigurationError

MARKUP = st.sampled_from(
    ["<@U024BE7LH>", "<#C024BE7LR|general>", "<!here>", "<https://a.example.com/?x=1&y=2|z>"]
)


@given(st.text(alphabet=st.sampled_from("a &<>;ltgampé\n"), max_size=40))
def test_any_text_comes_back_as_it_went(text: str) -> None:
    assert plain(escaped(text)) == text


@given(st.lists(st.one_of(MARKUP, st.sampled_from(["a", " & ", " < b", "> "])), max_size=8).map("".join))
def test_mentions_and_links_stay_what_they_are(text: str) -> None:
    kept = escaped(text)
    assert plain(kept) == text
    assert escaped(plain(kept)) == kept


def test_what_is_no_markup_is_escaped() -> None:
    assert escaped("a < b & <@U1> <script>") == "a &lt; b &amp; <@U1> &lt;script&gt;"


def test_times() -> None:
    assert moment_of_ts("1355517523.000005") == datetime(2012, 12, 14, 20, 38, 43, 5, UTC)
    assert moment_of_number(1_502_138_686) == datetime(2017, 8, 7, 20, 44, 46, tzinfo=UTC)
    assert moment_of_number(1_678_229_664_302) == datetime(2023, 3, 7, 22, 54, 24, 302_000, UTC)
    assert ts_before("1355517523.000005", 1) == "1355513923.000005"
    assert ts_of(datetime(1969, 1, 1, tzinfo=UTC)) == "0.000000"


@pytest.mark.parametrize("value", [None, "", "soon", "1.2.3", "9" * 30, [], {}])
def test_what_is_no_timestamp_is_none(value: Any) -> None:
    assert moment_of_ts(value) is None


@pytest.mark.parametrize("value", [None, 0, -5, True, "5", 1e300])
def test_what_is_no_moment_is_none(value: Any) -> None:
    assert moment_of_number(value) is None


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("C024BE91L:1355517523.000005", ("C024BE91L", "1355517523.000005")),
        ("1355517523.000005", None),
        ("C024BE91L:now", None),
        ("C024BE91L:1355517523.000005&x=1", None),
        ("", None),
    ],
)
def test_ids_of_messages(text: str, parts: tuple[str, str] | None) -> None:
    assert split_message_id(text) == parts


def reply(body: Any, status: int = 200) -> HttpReply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpReply(status, httpx.Headers(), raw, "https://slack.com/api/x")


def test_errors_name_codes_and_fields_and_no_values() -> None:
    detail = read_error(
        reply(
            {
                "ok": False,
                "error": "invalid_arguments",
                "response_metadata": {
                    "messages": [
                        "[ERROR] missing required field: channel",
                        "[ERROR] must be less than 80 characters [json-pointer:/blocks/0/text]",
                        "[ERROR] secret value",
                        7,
                    ]
                },
            }
        )
    )
    assert detail is not None
    assert (detail.code, detail.fields) == ("invalid_arguments", ("channel", "blocks/0/text"))


@pytest.mark.parametrize(
    "body", [b"<html>", [], {"ok": False}, {"ok": False, "error": 5}, {"ok": False, "error": "Some value!"}]
)
def test_errors_that_say_nothing(body: Any) -> None:
    detail = read_error(reply(body, 500))
    assert detail is not None
    assert (detail.code, detail.fields) == (None, ())


def test_a_success_is_no_error() -> None:
    assert read_error(reply({"ok": True, "error": "x"})) is None


def connection(**settings: Any) -> Connection:
    return Connection(id="c", tenant_id="t", integration_id="slack", credential_id="x", settings=settings)


def test_settings() -> None:
    assert channels(connection(channels=["C2BBB", "C1AAA", "C2BBB"])) == ["C1AAA", "C2BBB"]
    assert default_channel(connection(channels=["C1AAA"])) == "C1AAA"
    assert default_channel(connection(channels=["C1AAA", "C2BBB"])) is None
    assert default_channel(connection(channels=["C1AAA"], defaultChannel="C2BBB")) == "C2BBB"
    assert (page_size(connection(pageSize=5000)), page_size(connection())) == (999, 200)
    assert look_back_hours(connection(historyLookbackHours=0)) == 0


@pytest.mark.parametrize(
    ("read", "settings"),
    [
        (channels, {"channels": "C1AAA"}),
        (channels, {"channels": ["#general"]}),
        (page_size, {"pageSize": "many"}),
        (look_back_hours, {"historyLookbackHours": -1}),
    ],
)
def test_settings_that_make_no_sense(read: Callable[[Connection], Any], settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        read(connection(**settings))


def test_the_default_schemas_make_shards() -> None:
    schemas = {schema["entity"]: ConversionSchema.model_validate(schema) for schema in DEFAULT_SCHEMAS}
    said = to_shard(schemas["Message"], {"ts": "1355517523.000005", "text": "hi", "channel": "C1"}).fields
    assert (said["text"], said["sentAt"]) == ("hi", "2012-12-14T20:38:43.000005Z")
    channel = to_shard(schemas["Channel"], {"name": "general", "purpose": {"value": "All"}}).fields
    assert (channel["name"], channel["description"]) == ("general", "All")
    assert to_external(schemas["User"], {"firstName": "Ada", "name": "Ada King"}) == {
        "profile": {"first_name": "Ada"}
    }
