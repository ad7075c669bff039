"""How Slack speaks HTTP: POST and GET under ``/api``, and failures that are 200 with ``{"ok": false}``.

Slack tells nothing of a quota but ``Retry-After`` with a 429.
Sources: https://docs.slack.dev/apis/web-api/ (evaluating responses), https://docs.slack.dev/apis/web-api/rate-limits,
and the error tables of the methods under https://docs.slack.dev/reference/methods
"""

from __future__ import annotations

import json
import re
from typing import Any

from castiel.adapters.errors_table import ErrorDetail, ErrorRule
from castiel.adapters.http import AccessToken, ApiClient, Dialect, HttpReply, Params
from castiel.adapters.slack.settings import base_url_of
from castiel.domain.connections import Connection
from castiel.errors import (
    AuthenticationFailed,
    CursorExpired,
    MalformedResponse,
    PermissionDenied,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    ReauthRequired,
    RecordNotFound,
    SchemaMismatch,
)

_CLASSES: tuple[tuple[type[ProviderError], tuple[str, ...]], ...] = (
    (ProviderRateLimited, ("ratelimited", "rate_limited", "message_limit_exceeded")),
    (AuthenticationFailed, ("invalid_auth", "not_authed", "token_expired")),
    (
        ReauthRequired,
        ("token_revoked", "account_inactive", "org_login_required", "two_factor_setup_required"),
    ),
    (
        PermissionDenied,
        (
            "access_denied",
            "accesslimited",
            "cannot_update_admin_user",
            "cant_archive_general",
            "cant_delete_message",
            "cant_update_message",
            "edit_window_closed",
            "ekm_access_denied",
            "enterprise_is_restricted",
            "is_archived",
            "method_not_supported_for_channel_type",
            "missing_scope",
            "no_permission",
            "not_admin",
            "not_allowed_token_type",
            "not_app_admin",
            "not_authorized",
            "not_in_channel",
            "restricted_action",
            "restricted_action_read_only_channel",
            "team_access_not_granted",
            "user_is_bot",
            "user_is_restricted",
            "user_is_ultra_restricted",
        ),
    ),
    (
        RecordNotFound,
        (
            "channel_not_found",
            "message_not_found",
            "thread_not_found",
            "user_not_found",
            "user_not_visible",
            "users_not_found",
        ),
    ),
    (CursorExpired, ("invalid_cursor",)),
    (
        ProviderUnavailable,
        (
            "fatal_error",
            "internal_error",
            "request_timeout",
            "service_unavailable",
            "team_added_to_org",
            "profile_set_failed",
        ),
    ),
    (
        SchemaMismatch,
        (
            "email_taken",
            "invalid_arg_name",
            "invalid_arguments",
            "invalid_attachments",
            "invalid_blocks",
            "invalid_blocks_format",
            "invalid_charset",
            "invalid_email",
            "invalid_form_data",
            "invalid_json",
            "invalid_limit",
            "invalid_metadata_format",
            "invalid_metadata_schema",
            "invalid_name",
            "invalid_name_maxlength",
            "invalid_name_punctuation",
            "invalid_name_required",
            "invalid_name_specials",
            "invalid_profile",
            "invalid_ts_latest",
            "invalid_ts_oldest",
            "invalid_types",
            "json_not_object",
            "metadata_too_large",
            "msg_blocks_too_long",
            "msg_too_long",
            "no_text",
            "reserved_name",
            "too_long",
            "too_many_attachments",
        ),
    ),
    (ProviderRejected, ("name_taken", "already_archived", "not_archived", "unknown_method")),
)

RULES: tuple[ErrorRule, ...] = tuple(
    ErrorRule(error, code=code) for error, codes in _CLASSES for code in codes
)
"""Slack's lines of the error table; the HTTP status says next to nothing."""

_CODE = re.compile(r"[a-z][a-z0-9_]{0,79}", re.ASCII)
_FIELD = re.compile(r"(?:json-pointer:/|missing required field: )([A-Za-z][\w/]{0,79})", re.ASCII)
_SCOPES = re.compile(r"[a-z.:_,\-]{1,200}", re.ASCII)
JSON_HEADERS = {"Content-Type": "application/json; charset=utf-8"}
"""Without the charset Slack answers with a warning."""


def base_url(connection: Connection, _token: AccessToken) -> str:
    """Slack has one address for all workspaces."""
    return base_url_of(connection)


def read_error(reply: HttpReply) -> ErrorDetail | None:
    """An answer's error code, the arguments it names, or the scope it wants; ``None`` for a success."""
    try:
        body = json.loads(reply.body)
    except (ValueError, RecursionError):
        return ErrorDetail() if reply.status >= 300 else None
    if not isinstance(body, dict):
        return ErrorDetail() if reply.status >= 300 else None
    if reply.status < 300 and body.get("ok") is not False:
        return None
    code = body.get("error")
    return ErrorDetail(code if isinstance(code, str) and _CODE.fullmatch(code) else None, _names(body))


def _names(body: dict[str, Any]) -> tuple[str, ...]:
    needed = body.get("needed")
    if isinstance(needed, str) and _SCOPES.fullmatch(needed):
        return (needed,)
    metadata = body.get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    texts = [text for text in messages if isinstance(text, str)] if isinstance(messages, list) else []
    return tuple(dict.fromkeys(name for text in texts for name in _FIELD.findall(text)))


DIALECT = Dialect(provider="slack", base_url=base_url, read_error=read_error, rules=RULES)


async def read(api: ApiClient, method: str, params: Params | None = None) -> dict[str, Any]:
    """A reading method's answer. Raises :class:`~castiel.errors.ProviderError`."""
    return members(await api.call("GET", f"/api/{method}", params=params))


async def write(
    api: ApiClient, method: str, body: dict[str, Any], operation: str, *, safe: bool = True
) -> dict[str, Any]:
    """A writing method's answer. ``safe``: doing it twice is as good as once."""
    reply = await api.call(
        "POST", f"/api/{method}", operation=operation, json_body=body, headers=JSON_HEADERS, safe=safe
    )
    return members(reply)


def members(reply: HttpReply) -> dict[str, Any]:
    """The answer's members. Raises :class:`MalformedResponse` unless it says that it is well."""
    body = reply.json()
    if not isinstance(body, dict) or body.get("ok") is not True:
        raise MalformedResponse("an answer that is neither well nor an error", status=reply.status)
    return body
