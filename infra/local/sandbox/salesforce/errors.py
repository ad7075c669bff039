"""Salesforce's errors: a list of {message, errorCode, fields?} with an HTTP status.

Source: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/errorcodes.htm
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

JsonObject = dict[str, Any]


class ApiError(Exception):
    """An answer other than success to a REST call."""

    def __init__(self, status: int, code: str, message: str, fields: list[str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def body(self) -> list[JsonObject]:
        """The answer's body."""
        error: JsonObject = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            error["fields"] = self.fields
        return [error]

    def as_result(self) -> JsonObject:
        """The same error as one of a collection's results, where the code is called statusCode."""
        return {"statusCode": self.code, "message": self.message, "fields": self.fields or []}

    def response(self) -> web.Response:
        return web.Response(
            status=self.status,
            text=json.dumps(self.body()),
            content_type="application/json",
            charset="UTF-8",
        )


def not_found() -> ApiError:
    return ApiError(404, "NOT_FOUND", "The requested resource does not exist")


def session_invalid() -> ApiError:
    return ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")


def invalid_locator() -> ApiError:
    return ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")


def request_limit_exceeded() -> ApiError:
    return ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")


def entity_is_deleted() -> ApiError:
    return ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", [])


def locked_row(record_id: str) -> ApiError:
    text = f"unable to obtain exclusive access to this record or 1 records: {record_id}"
    return ApiError(400, "UNABLE_TO_LOCK_ROW", text, [])


_BY_STATUS = {
    401: session_invalid(),
    403: request_limit_exceeded(),
    500: ApiError(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId"),
    503: ApiError(503, "SERVER_UNAVAILABLE", "We are down for maintenance. Sorry for the inconvenience."),
}
_STATUS_OF_CODE = {
    "INVALID_SESSION_ID": 401,
    "REQUEST_LIMIT_EXCEEDED": 403,
    "INSUFFICIENT_ACCESS_OR_READONLY": 403,
    "NOT_FOUND": 404,
    "ENTITY_IS_DELETED": 404,
    "SERVER_UNAVAILABLE": 503,
}
_MESSAGES = {
    "UNABLE_TO_LOCK_ROW": "unable to obtain exclusive access to this record or 1 records",
    "DUPLICATES_DETECTED": "Use one of these records?",
    "INSUFFICIENT_ACCESS_OR_READONLY": "insufficient access rights on object id",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "A validation rule refused the record",
}


def ordered(status: int | None, code: str | None, message: str | None) -> ApiError | None:
    """The error a fault asks for; None for a status that comes without a body (429 from the edge)."""
    if code is None:
        known = _BY_STATUS.get(status or 0)
        if known is None or message is None:
            return known
        return ApiError(known.status, known.code, message)
    return ApiError(status or _STATUS_OF_CODE.get(code, 400), code, message or _MESSAGES.get(code, code), [])
