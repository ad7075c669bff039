"""From Google's two error shapes to the exception tree, and the parts of a batch."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from castiel.adapters.errors_table import classify
from castiel.adapters.google.batch import Part, decode, encode
from castiel.adapters.google.dialect import RULES, read_error
from castiel.adapters.http import HttpReply
from castiel.errors import (
    AuthenticationFailed,
    CursorExpired,
    MalformedResponse,
    PermissionDenied,
    PreconditionRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    RecordNotFound,
    SchemaMismatch,
)

DATE = "Tue, 24 Nov 2026 10:00:00 GMT"


def reply(status: int, body: Any, **headers: str) -> HttpReply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpReply(status, httpx.Headers({"date": DATE, **headers}), raw, "https://www.googleapis.com/x")


def error(status: int, body: Any) -> ProviderError:
    detail = read_error(reply(status, body))
    assert detail is not None
    return classify(RULES, "google", status, detail)


def calendar(code: int, reason: str, domain: str = "global", message: str = "Secret text") -> dict[str, Any]:
    entry = {"domain": domain, "reason": reason, "message": message, "location": "Authorization"}
    return {"error": {"errors": [entry], "code": code, "message": message}}


def people(code: int, status: str, reason: str | None = None) -> dict[str, Any]:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
    found: dict[str, Any] = {"code": code, "message": "Secret text", "status": status}
    return {"error": found | ({"details": [info]} if reason else {})}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, calendar(401, "authError"), AuthenticationFailed),
        (403, calendar(403, "userRateLimitExceeded", "usageLimits"), ProviderRateLimited),
        (403, calendar(403, "rateLimitExceeded", "usageLimits"), ProviderRateLimited),
        (403, calendar(403, "quotaExceeded", "usageLimits"), ProviderRateLimited),
        (403, calendar(403, "calendarUsageLimitsExceeded", "usageLimits"), ProviderRateLimited),
        (429, calendar(429, "rateLimitExceeded", "usageLimits"), ProviderRateLimited),
        (403, calendar(403, "forbiddenForNonOrganizer", "calendar"), PermissionDenied),
        (403, calendar(403, "insufficientPermissions"), PermissionDenied),
        (404, calendar(404, "notFound"), RecordNotFound),
        (409, calendar(409, "duplicate"), ProviderRejected),
        (410, calendar(410, "fullSyncRequired", "calendar"), CursorExpired),
        (410, calendar(410, "updatedMinTooLongAgo", "calendar"), CursorExpired),
        (410, calendar(410, "deleted"), RecordNotFound),
        (412, calendar(412, "conditionNotMet"), PreconditionRejected),
        (500, calendar(500, "backendError"), ProviderUnavailable),
        (400, calendar(400, "timeRangeEmpty", "calendar"), SchemaMismatch),
        (400, people(400, "INVALID_ARGUMENT"), SchemaMismatch),
        (400, people(400, "FAILED_PRECONDITION"), PreconditionRejected),
        (400, people(400, "FAILED_PRECONDITION", "EXPIRED_SYNC_TOKEN"), CursorExpired),
        (401, people(401, "UNAUTHENTICATED"), AuthenticationFailed),
        (403, people(403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"), PermissionDenied),
        (403, people(403, "PERMISSION_DENIED", "SERVICE_DISABLED"), PermissionDenied),
        (404, people(404, "NOT_FOUND"), RecordNotFound),
        (409, people(409, "ABORTED"), ProviderUnavailable),
        (429, people(429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"), ProviderRateLimited),
        (503, people(503, "UNAVAILABLE"), ProviderUnavailable),
        (502, b"<html>502</html>", ProviderUnavailable),
        (403, b"<html>403</html>", PermissionDenied),
        (400, {"error": "not an object"}, SchemaMismatch),
    ],
)
def test_the_table(status: int, body: Any, expected: type[ProviderError]) -> None:
    found = error(status, body)
    assert type(found) is expected
    assert "Secret" not in str(found)


def test_a_success_is_no_error() -> None:
    assert read_error(reply(200, {"error": {"code": 400}})) is None


def test_how_long_to_wait_is_read_from_where_google_says_it() -> None:
    delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "33.5s"}
    body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [delay]}}
    assert error(429, body).retry_after == 33.5
    text = "User-rate limit exceeded.  Retry after 2026-11-24T10:01:30.000Z"
    assert error(429, calendar(429, "rateLimitExceeded", message=text)).retry_after == 90
    past = "User-rate limit exceeded.  Retry after 2026-11-24T09:00:00.000Z"
    assert error(429, calendar(429, "rateLimitExceeded", message=past)).retry_after == 0
    assert error(429, calendar(429, "rateLimitExceeded")).retry_after is None


def test_the_fields_that_are_wrong_are_named() -> None:
    violation = {"field": "person.names", "description": "Secret text"}
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    found = error(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [detail]}})
    assert "person.names" in str(found)
    assert "Secret" not in str(found)


# Batches -------------------------------------------------------------------------------------------------


def test_a_batch_is_written_as_documented() -> None:
    parts = [
        Part("GET", "https://www.googleapis.com/calendar/v3/calendars/primary/events/abc?x=1"),
        Part("PATCH", "https://www.googleapis.com/calendar/v3/x", {"summary": "Ü"}, {"If-Match": '"1"'}),
    ]
    content, boundary = encode(parts)
    text = content.decode()
    assert text.count(f"--{boundary}") == 3
    assert text.endswith(f"--{boundary}--\r\n")
    assert "Content-ID: <0>\r\n\r\nGET /calendar/v3/calendars/primary/events/abc?x=1 HTTP/1.1\r\n" in text
    assert 'If-Match: "1"\r\nContent-Type: application/json\r\n\r\n{"summary":"\\u00dc"}' in text


ANSWER = (
    "--batch_x\r\nContent-Type: application/http\r\nContent-ID: <response-1>\r\n\r\n"
    'HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nETag: "7"\r\n\r\n{"id": "b",\r\n "x": 1}\r\n'
    "--batch_x\r\nContent-Type: application/http\r\nContent-ID: <response-0>\r\n\r\n"
    "HTTP/1.1 204 No Content\r\n\r\n\r\n"
    "--batch_x--\r\n"
)


def test_answers_are_told_apart_by_their_ids_whatever_their_order() -> None:
    outer = reply(200, ANSWER.encode(), **{"content-type": "multipart/mixed; boundary=batch_x"})
    first, second, third = decode(outer, 3)
    assert first is not None
    assert second is not None
    assert (first.status, first.body) == (204, b"")
    assert (second.status, second.json(), second.headers["etag"]) == (200, {"id": "b", "x": 1}, '"7"')
    assert second.headers["date"] == DATE
    assert third is None


def test_an_answer_that_is_no_batch_is_malformed() -> None:
    with pytest.raises(MalformedResponse):
        decode(reply(200, b"{}", **{"content-type": "application/json"}), 2)


def test_parts_that_are_no_answers_are_missing() -> None:
    broken = ANSWER.replace("HTTP/1.1 200 OK", "nonsense").replace("<response-0>", "<response-9>")
    outer = reply(200, broken.encode(), **{"content-type": "multipart/mixed; boundary=batch_x"})
    assert decode(outer, 2) == [None, None]
