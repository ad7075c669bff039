"""How Salesforce speaks HTTP: addresses, headers, errors and quota.

Sources: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm,
…/api_rest/headers_calloptions.htm, …/api_rest/headers_api_usage.htm,
https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_calls_concepts_core_data_objects.htm
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from castiel.adapters.errors_table import ErrorDetail, ErrorRule
from castiel.adapters.http import AccessToken, Dialect, HttpReply
from castiel.domain.connections import Connection
from castiel.domain.quota import Quota
from castiel.errors import (
    AuthenticationFailed,
    ConfigurationError,
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

CLIENT_NAME = "castiel"
"""What ``changeOrigin`` of a change event says of our own writes."""

MARKED_AS_OURS = {"Sforce-Call-Options": f"client={CLIENT_NAME}"}

_CLASSES: tuple[tuple[type[ProviderError], tuple[str, ...]], ...] = (
    (AuthenticationFailed, ("INVALID_SESSION_ID", "INVALID_AUTH_HEADER", "Bad_OAuth_Token")),
    (
        ProviderRateLimited,
        ("REQUEST_LIMIT_EXCEEDED", "TXN_SECURITY_METERING_ERROR"),
    ),
    (
        ProviderUnavailable,
        (
            "UNABLE_TO_LOCK_ROW",
            "SERVER_UNAVAILABLE",
            "QUERY_TIMEOUT",
            "REQUEST_RUNNING_TOO_LONG",
            "UNKNOWN_EXCEPTION",
            "PROCESSING_HALTED",
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        ),
    ),
    (CursorExpired, ("INVALID_QUERY_LOCATOR",)),
    (PreconditionRejected, ("PRECONDITION_FAILED",)),
    (RecordNotFound, ("ENTITY_IS_DELETED", "NOT_FOUND")),
    (
        PermissionDenied,
        (
            "API_CURRENTLY_DISABLED",
            "API_DISABLED_FOR_ORG",
            "FUNCTIONALITY_NOT_ENABLED",
            "INSUFFICIENT_ACCESS",
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            "INSUFFICIENT_ACCESS_OR_READONLY",
        ),
    ),
    (
        SchemaMismatch,
        (
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "FIELD_FILTER_VALIDATION_EXCEPTION",
            "FIELD_INTEGRITY_EXCEPTION",
            "INVALID_CROSS_REFERENCE_KEY",
            "INVALID_EMAIL_ADDRESS",
            "INVALID_FIELD",
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "INVALID_TYPE",
            "INVALID_TYPE_ON_FIELD_IN_RECORD",
            "JSON_PARSER_ERROR",
            "MALFORMED_ID",
            "MALFORMED_QUERY",
            "MISSING_ARGUMENT",
            "NUMBER_OUTSIDE_VALID_RANGE",
            "REQUIRED_FIELD_MISSING",
            "STRING_TOO_LONG",
        ),
    ),
    (
        ProviderRejected,
        (
            "DELETE_FAILED",
            "DUPLICATES_DETECTED",
            "DUPLICATE_EXTERNAL_ID",
            "DUPLICATE_VALUE",
            "STORAGE_LIMIT_EXCEEDED",
        ),
    ),
)

RULES: tuple[ErrorRule, ...] = (
    *(ErrorRule(error, code=code) for error, codes in _CLASSES for code in codes),
    # From the edge of an org that is overloaded: no body, no code.
    ErrorRule(ProviderRateLimited, 406),
    ErrorRule(ProviderRateLimited, 420),
    # The org moved: the next refresh tells its new address.
    ErrorRule(AuthenticationFailed, 421),
)
"""Salesforce's lines of the error table. Per-record results carry the same codes as whole answers."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_USAGE = re.compile(r"(?:^|[;,\s])api-usage=(\d+)/(\d+)")
_PLAIN_CODES = {b"Bad_OAuth_Token": "Bad_OAuth_Token", b"Missing_OAuth_Token": "Bad_OAuth_Token"}


def base_url(connection: Connection, token: AccessToken) -> str:
    """The org's own address: what the token's answer said, else the setting. Raises :class:`ConfigurationError`."""
    url = token.instance_url or connection.settings.get("baseUrl")
    if not url:
        raise ConfigurationError("baseUrl: the token names no instance_url, so the org's address is needed")
    return str(url)


def headers(_connection: Connection) -> Mapping[str, str]:
    """What every call carries."""
    return {**MARKED_AS_OURS, "Accept": "application/json"}


def read_error(reply: HttpReply) -> ErrorDetail | None:
    """An error body's code and field names; ``None`` for a success."""
    if reply.status < 300:
        return None
    plain = _PLAIN_CODES.get(reply.body.strip()[:40])
    if plain is not None:
        return ErrorDetail(plain)
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ErrorDetail()
    first = body[0] if isinstance(body, list) and body else body
    return error_detail(first, "errorCode") if isinstance(first, dict) else ErrorDetail()


def error_detail(error: Mapping[str, Any], code_name: str) -> ErrorDetail:
    """The safe part of one error: ``errorCode`` in an answer, ``statusCode`` in a record's result."""
    code, fields = error.get(code_name), error.get("fields")
    names = fields if isinstance(fields, list) else []
    return ErrorDetail(
        code if isinstance(code, str) and _CODE.fullmatch(code) else None,
        tuple(name for name in names if isinstance(name, str) and _CODE.fullmatch(name)),
    )


def read_quota(reply: HttpReply) -> Quota | None:
    """``Sforce-Limit-Info``: calls used of those allowed in 24 hours, which move on with the clock."""
    match = _USAGE.search(reply.headers.get("sforce-limit-info", ""))
    if match is None:
        return None
    used, limit = int(match.group(1)), int(match.group(2))
    return Quota(limit=limit, remaining=max(0, limit - used), resource="DailyApiRequests")


DIALECT = Dialect(
    provider="salesforce",
    base_url=base_url,
    read_error=read_error,
    rules=RULES,
    read_quota=read_quota,
    headers=headers,
)
