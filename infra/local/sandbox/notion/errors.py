"""Notion's errors: {object: error, status, code, message, request_id}.

Source: https://developers.notion.com/reference/status-codes
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from aiohttp import web

JsonObject = dict[str, Any]

_CODES: dict[str, tuple[int, str]] = {
    "invalid_json": (400, "Error parsing JSON body."),
    "invalid_request_url": (400, "Invalid request URL."),
    "invalid_request": (400, "Unsupported request."),
    "invalid_grant": (400, "Invalid refresh token."),
    "validation_error": (400, "body failed validation."),
    "missing_version": (
        400,
        "Notion-Version header failed validation: Notion-Version header should be defined, instead was `undefined`.",
    ),
    "unauthorized": (401, "API token is invalid."),
    "restricted_resource": (403, "Insufficient permissions for this endpoint."),
    "object_not_found": (404, "Could not find object."),
    "conflict_error": (409, "Conflict occurred while saving. Please try again."),
    "rate_limited": (429, "You have been rate limited. Please try again in a few minutes."),
    "internal_server_error": (500, "Unexpected error occurred."),
    "bad_gateway": (502, "Bad gateway."),
    "service_unavailable": (503, "Public API service is temporarily unavailable, please try again later."),
    "database_connection_unavailable": (503, "Public API database connection is unavailable."),
    "gateway_timeout": (504, "Public API gateway timed out."),
    "service_overload": (529, "Notion is overloaded. Please try again later."),
}
_CODE_OF_STATUS = {
    400: "validation_error",
    401: "unauthorized",
    403: "restricted_resource",
    404: "object_not_found",
    409: "conflict_error",
    429: "rate_limited",
    500: "internal_server_error",
    502: "bad_gateway",
    503: "service_unavailable",
    504: "gateway_timeout",
    529: "service_overload",
}


class ApiError(Exception):
    """An answer other than success."""

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        status: int | None = None,
        additional: JsonObject | None = None,
        retry_after: int | None = None,
    ) -> None:
        known_status, known_message = _CODES.get(code, (400, code))
        super().__init__(f"{code}: {message or known_message}")
        self.code = code
        self.status = status or known_status
        self.message = message or known_message
        self.additional = additional
        self.retry_after = retry_after

    def response(self) -> web.Response:
        request_id = str(uuid.uuid4())
        body: JsonObject = {
            "object": "error",
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "request_id": request_id,
        }
        if self.additional is not None:
            body["additional_data"] = self.additional
        response = web.Response(
            status=self.status, text=json.dumps(body), content_type="application/json", charset="utf-8"
        )
        response.headers["x-notion-request-id"] = request_id
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response


def invalid(path: str, rule: str, value: Any = None) -> ApiError:
    """A member of the body that fails validation: ``body.page_size should be ≤ `100`, instead was `101`.``"""
    shown = "undefined" if value is None else json.dumps(value, ensure_ascii=False)
    return ApiError("validation_error", f"body failed validation: {path} {rule}, instead was `{shown}`.")


def not_found(kind: str, object_id: str) -> ApiError:
    text = (
        f"Could not find {kind} with ID: {object_id}. Make sure the relevant pages and databases are shared"
        " with your integration."
    )
    return ApiError("object_not_found", text)


def ordered(status: int | None, code: str | None, message: str | None) -> ApiError:
    """The error a fault asks for."""
    return ApiError(code or _CODE_OF_STATUS.get(status or 0, "internal_server_error"), message, status=status)
