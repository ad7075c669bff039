"""Slack's refusals: 200 with `{"ok": false, "error": code}`, and 429 for too many calls.

Sources: https://docs.slack.dev/apis/web-api/ (evaluating responses), https://docs.slack.dev/apis/web-api/rate-limits
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

JsonObject = dict[str, Any]

_BY_STATUS = {429: "ratelimited", 500: "internal_error", 503: "service_unavailable"}


class ApiError(Exception):
    """A call that Slack refuses; `more` are further members of the body (`needed`, `response_metadata` …)."""

    def __init__(self, code: str, *, status: int = 200, retry_after: int | None = None, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.more = more

    def response(self) -> web.Response:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return answer({"ok": False, "error": self.code, **self.more}, self.status, headers)


def answer(body: JsonObject, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer as Slack writes it."""
    return web.Response(
        status=status,
        text=json.dumps(body, ensure_ascii=False),
        content_type="application/json",
        charset="utf-8",
        headers=headers,
    )


def missing(field: str) -> ApiError:
    """A required argument that is not there."""
    return ApiError(
        "invalid_arguments",
        response_metadata={"messages": [f"[ERROR] missing required field: {field}"]},
    )


def rate_limited(retry_after: int) -> ApiError:
    """Too many calls."""
    return ApiError("ratelimited", status=429, retry_after=max(1, retry_after))


def ordered(status: int, code: str | None) -> ApiError:
    """The error that a fault asks for."""
    return ApiError(code or _BY_STATUS.get(status, "fatal_error"), status=status)
