"""GitHub's errors: an object with a message, an address of documentation, and in validation a list of errors.

Source: https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

JsonObject = dict[str, Any]
DOCS = "https://docs.github.com/rest"


class ApiError(Exception):
    """An answer other than success."""

    def __init__(
        self,
        status: int,
        message: str,
        errors: list[JsonObject] | None = None,
        *,
        docs: str = DOCS,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.errors = errors
        self.docs = docs
        self.headers = headers

    def response(self) -> web.Response:
        body: JsonObject = {"message": self.message}
        if self.errors is not None:
            body["errors"] = self.errors
        body |= {"documentation_url": self.docs, "status": str(self.status)}
        return web.json_response(body, status=self.status, headers=self.headers)


def not_found() -> ApiError:
    return ApiError(404, "Not Found")


def bad_credentials() -> ApiError:
    return ApiError(401, "Bad credentials")


def invalid(resource: str, field: str, code: str = "invalid", **more: Any) -> ApiError:
    """A field that fails validation."""
    return ApiError(422, "Validation Failed", [{**more, "resource": resource, "field": field, "code": code}])


def unprocessable(text: str) -> ApiError:
    """A body that is not of the endpoint's schema."""
    return ApiError(422, f"Invalid request.\n\n{text}")


def moved(status: int, url: str) -> ApiError:
    """301 for reading, 307 for writing."""
    message = "Moved Permanently" if status == 301 else "Temporary Redirect"
    error = ApiError(status, message, headers={"Location": url})
    error.docs = f"{DOCS}/guides/best-practices-for-using-the-rest-api#follow-redirects"
    return error


def primary_limit() -> ApiError:
    docs = f"{DOCS}/overview/rate-limits-for-the-rest-api"
    return ApiError(403, "API rate limit exceeded for user ID 583231.", docs=docs)


def secondary_limit(retry_after: int | None) -> ApiError:
    text = (
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again. "
        "If you reach out to GitHub Support for help, please include the request ID 0000:0000."
    )
    docs = f"{DOCS}/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
    wait = None if retry_after is None else {"Retry-After": str(retry_after)}
    return ApiError(403, text, docs=docs, headers=wait)


_MESSAGES = {
    400: "Problems parsing JSON",
    401: "Bad credentials",
    403: "Resource not accessible by integration",
    404: "Not Found",
    409: "Conflict",
    410: "This issue was deleted",
    422: "Validation Failed",
    429: "Too Many Requests",
    500: "Server Error",
    502: "Server Error",
    503: "Service Unavailable",
}


def ordered(status: int, code: str | None, message: str | None) -> web.Response:
    """The error a fault asks for. Codes: ``primary_rate_limit``, ``secondary_rate_limit``, or one of validation."""
    if code == "primary_rate_limit":
        return primary_limit().response()
    if code == "secondary_rate_limit":
        error = secondary_limit(None)
        error.status = status
        return error.response()
    if status in (502, 504) and message is None:
        return web.Response(
            status=status, text="<html><body>Unicorn!</body></html>", content_type="text/html"
        )
    errors = [{"resource": "Issue", "field": "title", "code": code}] if code else None
    return ApiError(status, message or _MESSAGES.get(status, "Error"), errors).response()
