"""How Google speaks HTTP: origins and errors. It says nothing of quotas but when they are used up.

Sources: https://google.aip.dev/193 and https://cloud.google.com/apis/design/errors (People),
https://developers.google.com/workspace/calendar/api/guides/errors (Calendar)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from castiel.adapters.errors_table import ErrorDetail, ErrorRule
from castiel.adapters.google.addresses import ORIGINS, base_url
from castiel.adapters.http import Dialect, HttpReply
from castiel.adapters.http_dates import http_date
from castiel.adapters.retry_after import MAX_RETRY_AFTER_SECONDS
from castiel.errors import (
    AuthenticationFailed,
    CursorExpired,
    PermissionDenied,
    PreconditionRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    RecordNotFound,
    SchemaMismatch,
)

_CLASSES: tuple[tuple[type[ProviderError], tuple[str, ...]], ...] = (
    (AuthenticationFailed, ("UNAUTHENTICATED", "authError", "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING")),
    (
        ProviderRateLimited,
        (
            "rateLimitExceeded",
            "userRateLimitExceeded",
            "quotaExceeded",
            "dailyLimitExceeded",
            "calendarUsageLimitsExceeded",
            "RESOURCE_EXHAUSTED",
            "RATE_LIMIT_EXCEEDED",
            "QUOTA_EXCEEDED",
        ),
    ),
    (CursorExpired, ("EXPIRED_SYNC_TOKEN", "fullSyncRequired", "updatedMinTooLongAgo")),
    (PreconditionRejected, ("FAILED_PRECONDITION", "failedPrecondition", "conditionNotMet")),
    (RecordNotFound, ("NOT_FOUND", "notFound", "deleted")),
    (PermissionDenied, ("PERMISSION_DENIED", "insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
                        "SERVICE_DISABLED", "accessNotConfigured", "forbidden", "push.webhookUrlUnauthorized")),
    (ProviderUnavailable, ("UNAVAILABLE", "INTERNAL", "ABORTED", "DEADLINE_EXCEEDED", "backendError")),
    (ProviderRejected, ("duplicate", "ALREADY_EXISTS", "channelIdNotUnique")),
)  # fmt: skip

RULES: tuple[ErrorRule, ...] = (
    *(ErrorRule(error, code=code) for error, codes in _CLASSES for code in codes),
    ErrorRule(SchemaMismatch, 400),
)
"""Google's lines of the error table."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,79}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]]{0,99}")
_RETRY_AFTER = re.compile(r"Retry after (\d{4}-\d\d-\d\dT[\d:.]+Z)")


def read_error(reply: HttpReply) -> ErrorDetail | None:
    """What an answer says went wrong, or ``None``."""
    if reply.status < 400:
        return None
    error = error_of(reply)
    return ErrorDetail(_code(error), tuple(_fields(error)), _retry_after(error, reply))


def error_of(reply: HttpReply) -> Mapping[str, Any]:
    """The ``error`` member of an answer; empty where there is none."""
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of what should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _code(error: Mapping[str, Any]) -> str | None:
    """The most telling name: ErrorInfo's reason, else Calendar's, else the gRPC status."""
    reasons = [detail.get("reason") for detail in objects(error.get("details"))]
    reasons += [entry.get("reason") for entry in objects(error.get("errors"))]
    for name in (*reasons, error.get("status")):
        if isinstance(name, str) and _CODE.fullmatch(name):
            return name
    return None


def _fields(error: Mapping[str, Any]) -> Iterator[str]:
    names = [v.get("field") for d in objects(error.get("details")) for v in objects(d.get("fieldViolations"))]
    names += [entry.get("location") for entry in objects(error.get("errors"))]
    yield from (name for name in names if isinstance(name, str) and _FIELD.fullmatch(name))


def _retry_after(error: Mapping[str, Any], reply: HttpReply) -> float | None:
    """Seconds, from RetryInfo, or from the moment that a "User-rate limit exceeded" names in its text."""
    for detail in objects(error.get("details")):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and re.fullmatch(r"\d{1,6}(\.\d+)?s", delay):
            return min(float(delay[:-1]), MAX_RETRY_AFTER_SECONDS)
    named = _RETRY_AFTER.search(str(error.get("message") or ""))
    now = http_date(reply.headers.get("date"))
    if named is None or now is None:
        return None
    try:
        until = datetime.fromisoformat(named[1])
    except ValueError:
        return None
    return min(max(0.0, (until - now).total_seconds()), MAX_RETRY_AFTER_SECONDS)


DIALECT = Dialect(
    provider="google",
    base_url=lambda connection, _: base_url(connection),
    read_error=read_error,
    rules=RULES,
    trusted_origins=ORIGINS,
)
