"""Answers that are not a success, with the status, sub-status and code word the service uses.

Source: https://learn.microsoft.com/rest/api/cosmos-db/http-status-codes-for-cosmosdb
"""

from __future__ import annotations

_CODES = {
    304: "NotModified",
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    409: "Conflict",
    412: "PreconditionFailed",
    413: "RequestEntityTooLarge",
    424: "FailedDependency",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
}

PARTITION_KEY_MISMATCH = 1001
CONTAINER_RECREATED = 1024
OWNER_NOT_FOUND = 1003
REQUEST_RATE_TOO_LARGE = 3200


class CosmosError(Exception):
    """A request that is answered with an error status."""

    def __init__(
        self, status: int, message: str, *, sub_status: int = 0, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.sub_status = sub_status
        self.message = message
        self.retry_after_ms = retry_after_ms

    @property
    def code(self) -> str:
        """The code word of the error's body."""
        return _CODES.get(self.status, "InternalServerError")


def bad_request(message: str, sub_status: int = 0) -> CosmosError:
    """400: the request is wrong, or asks for what the emulator does not support."""
    return CosmosError(400, message, sub_status=sub_status)


def not_found(what: str, sub_status: int = 0) -> CosmosError:
    """404, with sub-status 1003 when the database or container of the resource is what is missing."""
    return CosmosError(404, f"Resource Not Found: {what}", sub_status=sub_status)


def precondition_failed() -> CosmosError:
    """412: an ETag precondition or the condition of a patch does not hold."""
    return CosmosError(412, "One of the specified pre-condition is not met.")
