"""Google's error answers, in its two shapes.

People answers as https://google.aip.dev/193 says ({code, message, status, details}); Calendar as
https://developers.google.com/workspace/calendar/api/guides/errors shows ({errors: [{domain, reason}], code, message}).
"""

from __future__ import annotations

from typing import Any, Literal

JsonObject = dict[str, Any]
Style = Literal["people", "calendar"]

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_RPC_CODES = {
    "INVALID_ARGUMENT": 3,
    "NOT_FOUND": 5,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}
_DOMAINS = {
    "rateLimitExceeded": "usageLimits",
    "userRateLimitExceeded": "usageLimits",
    "quotaExceeded": "usageLimits",
    "dailyLimitExceeded": "usageLimits",
    "accessNotConfigured": "usageLimits",
    "timeRangeEmpty": "calendar",
    "fullSyncRequired": "calendar",
}


class ApiError(Exception):
    """An answer other than success."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: str | None = None,
        reason: str | None = None,
        details: list[JsonObject] | None = None,
        location: tuple[str, str] | None = None,
    ) -> None:
        """``status``: the gRPC name; ``reason``: Calendar's; ``location``: (type, name) of what is wrong."""
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status or _STATUS.get(code, "UNKNOWN")
        self.reason = reason or "badRequest"
        self.details = details or []
        self.location = location

    def body(self, style: Style) -> JsonObject:
        """The answer's body."""
        return {"error": self._people() if style == "people" else self._calendar()}

    def as_status(self) -> JsonObject:
        """The same as a google.rpc.Status, for one contact of a batch."""
        return {"code": _RPC_CODES.get(self.status, 2), "message": self.message}

    def _people(self) -> JsonObject:
        error: JsonObject = {"code": self.code, "message": self.message, "status": self.status}
        return error | ({"details": self.details} if self.details else {})

    def _calendar(self) -> JsonObject:
        entry = {
            "domain": _DOMAINS.get(self.reason, "global"),
            "reason": self.reason,
            "message": self.message,
        }
        if self.location is not None:
            entry |= {"locationType": self.location[0], "location": self.location[1]}
        return {"errors": [entry], "code": self.code, "message": self.message}


def invalid(message: str, field: str | None = None) -> ApiError:
    """People's 400, with the field that is wrong."""
    violation = {"field": field, "description": message}
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    return ApiError(400, message, reason="invalid", details=[detail] if field else None)


def error_info(reason: str, domain: str = "people.googleapis.com") -> JsonObject:
    """A google.rpc.ErrorInfo."""
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain}


def expired_sync_token() -> ApiError:
    text = "Sync token is expired. Clear local cache and retry call without the sync token."
    return ApiError(400, text, status="FAILED_PRECONDITION", details=[error_info("EXPIRED_SYNC_TOKEN")])


def full_sync_required() -> ApiError:
    text = "Sync token is no longer valid, a full sync is required."
    return ApiError(410, text, reason="fullSyncRequired", location=("parameter", "syncToken"))


def stale_etag() -> ApiError:
    text = (
        "Request person.etag is different than the current person.etag. "
        "Clear local cache and get the latest person."
    )
    return ApiError(400, text, status="FAILED_PRECONDITION", reason="failedPrecondition")


def unauthenticated(style: Style) -> ApiError:
    if style == "calendar":
        return ApiError(401, "Invalid Credentials", reason="authError", location=("header", "Authorization"))
    return ApiError(
        401,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other "
        "valid authentication credential.",
    )


def scope_missing(style: Style) -> ApiError:
    detail = error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com")
    text = "Request had insufficient authentication scopes."
    return ApiError(
        403, text, reason="insufficientPermissions", details=[detail] if style == "people" else None
    )


_ORDERED = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "Request had invalid authentication credentials."),
    403: ("rateLimitExceeded", "Rate Limit Exceeded"),
    404: ("notFound", "Not Found"),
    409: ("duplicate", "The requested identifier already exists."),
    410: ("fullSyncRequired", "Sync token is no longer valid, a full sync is required."),
    412: ("conditionNotMet", "Precondition Failed"),
    429: ("RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Critical read requests'."),
    500: ("backendError", "Backend Error"),
    503: ("UNAVAILABLE", "The service is currently unavailable."),
}
_OAUTH_CODES = {
    "invalid_grant": "Token has been expired or revoked.",
    "invalid_rapt": "reauth related error (invalid_rapt)",
    "invalid_client": "Unauthorized",
    "unauthorized_client": "Unauthorized",
}
_PEOPLE_REASONS = frozenset({"EXPIRED_SYNC_TOKEN", "RATE_LIMIT_EXCEEDED", "SERVICE_DISABLED"})


def ordered(status: int, code: str | None, message: str | None) -> JsonObject:
    """The body of an error that a fault asks for: the shape follows from the code."""
    default_code, text = _ORDERED.get(status, ("UNKNOWN", "Unknown error."))
    name = code or default_code
    if name in _OAUTH_CODES:
        return oauth_body(name, message or _OAUTH_CODES[name])
    text = message or (text if code is None else name)
    if name in _PEOPLE_REASONS:
        return ApiError(status, text, details=[error_info(name)]).body("people")
    if name.isupper():
        return ApiError(status, text, status=name).body("people")
    return ApiError(status, text, reason=name).body("calendar")


def oauth_body(code: str, description: str) -> JsonObject:
    """An error of the token endpoint (RFC 6749, section 5.2); a session policy's comes as a subtype."""
    if code == "invalid_rapt":
        return {
            "error": "invalid_grant",
            "error_description": description,
            "error_uri": "https://support.google.com/a/answer/9368756",
            "error_subtype": code,
        }
    return {"error": code, "error_description": description}


class OAuthError(Exception):
    """Answered with {"error", "error_description"}."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.body = oauth_body(error, description)
        self.status = status
