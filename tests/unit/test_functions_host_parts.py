"""The local Functions host's pure parts: schedules, routes, settings, host.json and the data on the wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from azure.functions.meta import get_binding_registry

from infra.local.host.config import load_host_config
from infra.local.host.errors import ConfigurationError, IndexingError
from infra.local.host.indexing import IndexedFunction, index_function
from infra.local.host.routes import RouteTable
from infra.local.host.schedule import Schedule
from infra.local.host.settings import apply_settings, connection_string, is_disabled, load_settings, resolve
from infra.local.host.wire import batch_data, message_data

ROOT = Path(__file__).resolve().parents[2]
MONDAY_NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "following"),
    [
        ("0 0 * * * *", datetime(2026, 11, 23, 13, 0, 0, tzinfo=UTC)),
        ("0 0 */6 * * *", datetime(2026, 11, 23, 18, 0, 0, tzinfo=UTC)),
        ("*/15 * * * * *", datetime(2026, 11, 23, 12, 0, 15, tzinfo=UTC)),
        ("30 9 * * 1-5", datetime(2026, 11, 24, 9, 30, 0, tzinfo=UTC)),
        ("0 0 0 1 * Fri", datetime(2027, 1, 1, 0, 0, 0, tzinfo=UTC)),  # the first of a month that is a Friday
    ],
)
def test_ncrontab(expression: str, following: datetime) -> None:
    assert Schedule(expression).next_after(MONDAY_NOON) == following


@pytest.mark.parametrize("expression", ["", "every hour", "0 61 * * * *", "01:00:00"])
def test_what_is_not_ncrontab_is_refused(expression: str) -> None:
    with pytest.raises(ConfigurationError):
        Schedule(expression)


def test_schedules_denser_than_a_minute_are_not_monitored() -> None:
    assert Schedule("0 * * * * *").can_be_monitored
    assert not Schedule("*/30 * * * * *").can_be_monitored


def _http(name: str, route: str, *methods: str) -> IndexedFunction:
    app = func.FunctionApp()

    @app.function_name(name)
    @app.route(route=route, methods=list(methods) or None)
    def handler(req: func.HttpRequest) -> str:
        return req.method

    return index_function(app.get_functions()[0], ROOT)


def test_the_most_specific_route_wins_whatever_the_order() -> None:
    table = RouteTable(
        [
            _http("Rest", "a/{*rest}"),
            _http("Value", "a/{id}"),
            _http("Exact", "a/b"),
            _http("Post", "a/b", "POST"),
        ],
        prefix="",
    )

    def found(method: str, path: str) -> tuple[str, dict[str, str]] | None:
        match = table.find(method, path)
        return (match[0].name, match[1]) if match else None

    assert found("GET", "/A/B/") == ("Exact", {})
    assert found("GET", "/a/c") == ("Value", {"id": "c"})
    assert found("GET", "/a/c/d") == ("Rest", {"rest": "c/d"})
    assert found("GET", "/a") == ("Rest", {})
    assert found("GET", "/b") is None


def test_the_route_prefix_comes_first() -> None:
    table = RouteTable([_http("F", "x")], prefix="api")
    assert table.find("GET", "/api/x") is not None
    assert table.find("GET", "/x") is None


def test_an_unknown_route_segment_is_refused() -> None:
    with pytest.raises(IndexingError, match="id:int"):
        RouteTable([_http("F", "x/{id:int}")], prefix="")


def test_settings_leave_the_environment_alone_where_it_is_set(tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(
        json.dumps({"IsEncrypted": False, "Values": {"A": "1", "B": True, "C": 3}}), encoding="utf-8"
    )
    environment = {"A": "kept"}
    assert apply_settings(load_settings(file), environment) == ["A"]
    assert environment == {"A": "kept", "B": "true", "C": "3"}


@pytest.mark.parametrize("document", [{"IsEncrypted": True, "Values": {}}, {"Values": {"A": {"b": 1}}}])
def test_settings_that_cannot_be_used_are_refused(document: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ConfigurationError):
        load_settings(file)


def test_binding_expressions_and_connections() -> None:
    environment = {"QUEUE": "q", "BUS": "Endpoint=x", "AzureWebJobsOther": "Endpoint=y"}
    assert resolve("pre-%QUEUE%", environment) == "pre-q"
    assert connection_string("BUS", environment) == "Endpoint=x"
    assert connection_string("Other", environment) == "Endpoint=y"
    with pytest.raises(ConfigurationError, match="MISSING"):
        resolve("%MISSING%", environment)
    with pytest.raises(ConfigurationError, match="MISSING"):
        connection_string("MISSING", environment)


@pytest.mark.parametrize(("value", "disabled"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_a_function_is_disabled_by_its_setting(value: str, disabled: bool) -> None:
    assert is_disabled("F", {"AzureWebJobs.F.Disabled": value}) is disabled


def test_host_json_of_the_project() -> None:
    config = load_host_config(ROOT / "host.json", {})
    assert config.function_timeout == config.service_bus.max_auto_lock_renewal == 600.0
    assert config.route_prefix == ""
    assert (config.service_bus.max_concurrent_calls, config.service_bus.max_message_batch_size) == (8, 100)
    assert config.service_bus.auto_complete


def test_host_json_is_overridden_by_settings() -> None:
    overrides = {"AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentCalls": "3"}
    overrides |= {"AzureFunctionsJobHost__functionTimeout": "-1"}
    config = load_host_config(ROOT / "host.json", overrides)
    assert config.service_bus.max_concurrent_calls == 3
    assert config.function_timeout is None


def _message(body: str, **values: Any) -> Any:
    fields = dict.fromkeys(
        (
            "dead_letter_source",
            "expires_at_utc",
            "content_type",
            "correlation_id",
            "reply_to",
            "to",
            "subject",
        )
    )
    fields |= dict.fromkeys(("session_id", "reply_to_session_id", "partition_key"))
    fields |= {"message_id": "m", "delivery_count": 0, "lock_token": "t", "sequence_number": 7}
    fields |= {"enqueued_time_utc": MONDAY_NOON, "application_properties": {b"k": b"v"}}
    return SimpleNamespace(**{**fields, "body": [body.encode()], **values})


def test_a_message_as_the_function_sees_it() -> None:
    converter = get_binding_registry().get("serviceBusTrigger")
    data, metadata = message_data(_message("hello", correlation_id="c"))
    seen = converter.decode(data, trigger_metadata=metadata)
    assert seen.get_body() == b"hello"
    assert (seen.message_id, seen.correlation_id, seen.delivery_count, seen.sequence_number) == (
        "m",
        "c",
        1,
        7,
    )
    assert seen.application_properties == seen.user_properties == {"k": "v"}
    assert seen.enqueued_time_utc == MONDAY_NOON.replace(tzinfo=None)
    assert seen.content_type is None


def test_in_a_batch_a_property_only_some_messages_have_does_not_line_up() -> None:
    # As on the platform: ToRpcStringArray of GrpcMessageConversionExtensions.cs leaves empty entries out.
    converter = get_binding_registry().get("serviceBusTrigger")
    data, metadata = batch_data(
        [_message("a", delivery_count=0), _message("b", delivery_count=2, correlation_id="of b")]
    )
    first, second = converter.decode(data, trigger_metadata=metadata)
    assert (first.get_body(), second.get_body()) == (b"a", b"b")
    assert (first.delivery_count, second.delivery_count) == (1, 3)
    assert (first.correlation_id, second.correlation_id) == ("of b", None)
