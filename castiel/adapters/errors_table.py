"""From what a provider answered to what it means: one table per provider, read from the top, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from castiel.errors import (
    AuthenticationFailed,
    PermissionDenied,
    PreconditionRejected,
    ProviderError,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    RecordNotFound,
    SchemaMismatch,
)


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One line of the table: a status, a provider's error code, or both → a class. ``None`` matches any."""

    error: type[ProviderError]
    status: int | range | None = None
    code: str | None = None

    def matches(self, status: int, code: str | None) -> bool:
        """Whether the line applies."""
        if isinstance(self.status, range):
            if status not in self.status:
                return False
        elif self.status is not None and status != self.status:
            return False
        return self.code is None or self.code == code


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """What a provider's error body says that is safe to log: its code and the names of fields, no values."""

    code: str | None = None
    fields: tuple[str, ...] = ()
    retry_after: float | None = None


HTTP_RULES: tuple[ErrorRule, ...] = (
    ErrorRule(AuthenticationFailed, 401),
    ErrorRule(PermissionDenied, 403),
    ErrorRule(RecordNotFound, 404),
    ErrorRule(RecordNotFound, 410),
    ErrorRule(ProviderUnavailable, 408),
    ErrorRule(PreconditionRejected, 412),
    ErrorRule(SchemaMismatch, 422),
    ErrorRule(ProviderUnavailable, 425),
    ErrorRule(ProviderRateLimited, 429),
    ErrorRule(ProviderUnavailable, range(500, 600)),
    ErrorRule(ProviderRejected),
)
"""What HTTP itself says; every provider's own lines come first (RFC 9110, section 15)."""


def classify(
    rules: Sequence[ErrorRule],
    provider: str,
    status: int,
    detail: ErrorDetail,
    retry_after: float | None = None,
) -> ProviderError:
    """The exception for an answer: the provider's own lines first, then HTTP's."""
    rule = next(rule for rule in (*rules, *HTTP_RULES) if rule.matches(status, detail.code))
    parts = [f"{provider} answered {status}", detail.code or ""]
    if detail.fields:
        parts.append(f"({', '.join(detail.fields[:10])})")
    return rule.error(
        " ".join(part for part in parts if part),
        retry_after=detail.retry_after if detail.retry_after is not None else retry_after,
        status=status,
        provider_code=detail.code,
    )
