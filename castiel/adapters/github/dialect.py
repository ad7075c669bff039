"""How GitHub speaks HTTP: addresses, headers, errors, quota and links.

Sources: https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api,
…/rest/using-the-rest-api/rate-limits-for-the-rest-api,
…/rest/using-the-rest-api/best-practices-for-using-the-rest-api,
…/rest/using-the-rest-api/using-pagination-in-the-rest-api
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from castiel.adapters.errors_table import ErrorDetail, ErrorRule
from castiel.adapters.github.settings import api_base, api_version
from castiel.adapters.http import Dialect, HttpReply
from castiel.adapters.http_dates import answered_at
from castiel.domain.connections import Connection
from castiel.domain.quota import Quota
from castiel.errors import MalformedResponse, PermissionDenied, ProviderRateLimited, RecordNotFound

SECONDARY_WAIT_SECONDS = 60.0
"""What GitHub asks for after a secondary limit that names no time."""

PRIMARY_LIMIT, SECONDARY_LIMIT = "primary_rate_limit", "secondary_rate_limit"

RULES = (
    ErrorRule(ProviderRateLimited, code=PRIMARY_LIMIT),
    ErrorRule(ProviderRateLimited, code=SECONDARY_LIMIT),
    # A safe call follows redirects. A write is not sent to another place than it was meant for.
    ErrorRule(RecordNotFound, range(301, 309)),
    ErrorRule(PermissionDenied, 451),
)

# GitHub's errors have no code but in validation: a secondary limit is known by its message, as GitHub's own client
# libraries know it (https://github.com/octokit/plugin-throttling.js).
_SECONDARY = re.compile(r"secondary rate limit|abuse detection", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z_][\w.-]{0,79}", re.ASCII)
_NEXT = re.compile(r'<([^<>]+)>\s*;[^,<]*\brel="next"')


def headers(connection: Connection) -> Mapping[str, str]:
    """What every call carries."""
    return {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": api_version(connection)}


def read_error(reply: HttpReply) -> ErrorDetail | None:
    """An error body's code and field names; ``None`` for a success, and for "not modified"."""
    if reply.status < 300 or reply.status == 304:
        return None
    limit, wait = limit_met(reply)
    if limit is not None:
        return ErrorDetail(limit, retry_after=wait)
    errors = _body(reply).get("errors")
    named = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    codes = [code for error in named if (code := _safe(error.get("code")))]
    fields = dict.fromkeys(field for error in named if (field := _safe(error.get("field"))))
    return ErrorDetail(codes[0] if codes else None, tuple(fields))


def limit_met(reply: HttpReply) -> tuple[str | None, float | None]:
    """Which limit a refusal is about, and the seconds to wait: ``Retry-After``, else until the reset, else a minute."""
    if reply.status not in (403, 429):
        return None, None
    spent = reply.headers.get("x-ratelimit-remaining") == "0"
    if "retry-after" in reply.headers:
        # The HTTP layer reads the header.
        return (PRIMARY_LIMIT if spent else SECONDARY_LIMIT), None
    reset = _reset(reply)
    if spent and reset is not None:
        return PRIMARY_LIMIT, max(1.0, (reset - answered_at(reply.headers)).total_seconds())
    if reply.status == 429 or _SECONDARY.search(str(_body(reply).get("message"))):
        return SECONDARY_LIMIT, SECONDARY_WAIT_SECONDS
    return None, None


def read_quota(reply: HttpReply) -> Quota | None:
    """The ``x-ratelimit-…`` headers, and the wait that a refusal asks for."""
    _, wait = limit_met(reply)
    limit, remaining = _number(reply, "x-ratelimit-limit"), _number(reply, "x-ratelimit-remaining")
    if limit is None or remaining is None:
        return Quota(retry_after=wait) if wait is not None else None
    return Quota(
        limit=limit,
        remaining=remaining,
        reset_at=_reset(reply),
        retry_after=wait if wait is not None else _number(reply, "retry-after"),
        resource=reply.headers.get("x-ratelimit-resource"),
    )


def next_link(reply: HttpReply) -> str | None:
    """The address of the next page, as GitHub gives it."""
    match = _NEXT.search(reply.headers.get("link", ""))
    return match.group(1) if match else None


def rows(reply: HttpReply, member: str | None = None) -> list[dict[str, Any]]:
    """A page's records, in ``member`` where the page is an object. Raises :class:`MalformedResponse`."""
    body = reply.json()
    found = body.get(member) if member and isinstance(body, dict) else body
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise MalformedResponse("a list of objects was expected", status=reply.status)
    return found


def row(reply: HttpReply) -> dict[str, Any]:
    """One record. Raises :class:`MalformedResponse`."""
    body = reply.json()
    if not isinstance(body, dict):
        raise MalformedResponse("an object was expected", status=reply.status)
    return body


def _body(reply: HttpReply) -> Mapping[str, Any]:
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _safe(name: object) -> str | None:
    return name if isinstance(name, str) and _NAME.fullmatch(name) else None


def _number(reply: HttpReply, name: str) -> int | None:
    text = reply.headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 13 else None


def _reset(reply: HttpReply) -> datetime | None:
    epoch = _number(reply, "x-ratelimit-reset")
    try:
        return datetime.fromtimestamp(epoch, UTC) if epoch is not None else None
    except (OverflowError, ValueError, OSError):
        return None


DIALECT = Dialect(
    provider="github",
    base_url=api_base,
    read_error=read_error,
    rules=RULES,
    read_quota=read_quota,
    headers=headers,
)
