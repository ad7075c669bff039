"""How Notion speaks HTTP: address, headers and errors.

Sources: https://developers.notion.com/reference/versioning, https://developers.notion.com/reference/status-codes,
https://developers.notion.com/reference/request-limits (there are no quota headers, only Retry-After)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from castiel.adapters.errors_table import ErrorDetail, ErrorRule
from castiel.adapters.http import AccessToken, Dialect, HttpReply
from castiel.adapters.notion.settings import DEFAULT_BASE_URL, notion_version
from castiel.domain.connections import Connection
from castiel.errors import (
    AuthenticationFailed,
    MalformedResponse,
    PermissionDenied,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    RecordNotFound,
    SchemaMismatch,
)

RULES: tuple[ErrorRule, ...] = (
    ErrorRule(AuthenticationFailed, code="unauthorized"),
    ErrorRule(PermissionDenied, code="restricted_resource"),
    # Gone, or not shared with the integration: Notion does not tell which.
    ErrorRule(RecordNotFound, code="object_not_found"),
    ErrorRule(SchemaMismatch, code="validation_error"),
    ErrorRule(SchemaMismatch, code="invalid_json"),
    ErrorRule(ProviderRejected, code="invalid_request"),
    ErrorRule(ProviderRejected, code="invalid_request_url"),
    ErrorRule(ProviderRejected, code="missing_version"),
    # Two writes met inside Notion; neither the page nor we are at fault, and the next try passes.
    ErrorRule(ProviderUnavailable, code="conflict_error"),
    ErrorRule(ProviderRateLimited, code="rate_limited"),
    ErrorRule(ProviderRateLimited, code="service_overload"),
    ErrorRule(ProviderRateLimited, 529),
    ErrorRule(ProviderUnavailable, code="internal_server_error"),
    ErrorRule(ProviderUnavailable, code="bad_gateway"),
    ErrorRule(ProviderUnavailable, code="service_unavailable"),
    ErrorRule(ProviderUnavailable, code="database_connection_unavailable"),
    ErrorRule(ProviderUnavailable, code="gateway_timeout"),
)
"""Notion's lines of the error table."""

_CODE = re.compile(r"[a-z][a-z0-9_]{0,79}", re.ASCII)
_FIELDS = (
    re.compile(r"body\.properties\.([^.\[\]`\n]{1,80})\."),
    re.compile(r"(?:^|\. )([^.`\n]{1,80}) is (?:expected to be|not a property that exists)"),
)
"""Where a message names properties. Only the names are kept: what follows them may be a value."""


def base_url(connection: Connection, token: AccessToken) -> str:  # noqa: ARG001  (the dialect's signature)
    """The API's address, without ``/v1``."""
    return str(connection.settings.get("baseUrl") or DEFAULT_BASE_URL).rstrip("/")


def headers(connection: Connection) -> Mapping[str, str]:
    """The version every call is pinned to."""
    return {"Notion-Version": notion_version(connection)}


def read_error(reply: HttpReply) -> ErrorDetail | None:
    """Code and property names of an error answer; ``None`` for a success."""
    if reply.status < 300:
        return None
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ErrorDetail()  # the edge answers in HTML
    return error_detail(body) if isinstance(body, dict) else ErrorDetail()


def error_detail(body: Mapping[str, Any]) -> ErrorDetail:
    """``{"object": "error", "code", "message"}``, or OAuth's ``{"error"}``."""
    code, message = body.get("code") or body.get("error"), body.get("message")
    names = [name for rule in _FIELDS for name in rule.findall(message)] if isinstance(message, str) else []
    return ErrorDetail(
        code if isinstance(code, str) and _CODE.fullmatch(code) else None, tuple(dict.fromkeys(names))
    )


def members(reply: HttpReply) -> dict[str, Any]:
    """The answer's JSON object. Raises :class:`MalformedResponse`."""
    body = reply.json()
    if not isinstance(body, dict):
        raise MalformedResponse("an object was expected", status=reply.status)
    return body


DIALECT = Dialect(provider="notion", base_url=base_url, read_error=read_error, rules=RULES, headers=headers)
