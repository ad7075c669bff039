"""Every error Castiel raises on purpose, as classes that say whether trying again can help.

::

    CastielError                      retryable = False unless a class says otherwise
    ├── ConfigurationError            a setting, schema or rule is wrong; names the field and the way out
    ├── InvalidInput                  a message, request or argument that can't be understood
    │   ├── InvalidMessage            a queue message; the host dead-letters it
    │   ├── InvalidWebhook            a webhook body
    │   └── ConversionFailed          a record that its schema can't convert
    ├── NotFound                      a document, secret or registration that is not there
    ├── AlreadyExists                 a document with this id exists
    ├── Conflict                      somebody else wrote first: read again, decide again   (retryable)
    │   └── InUse                     something else needs it; trying again changes nothing
    ├── FirstPullPending              the connection's own records are not known yet        (retryable)
    ├── LeaseHeld                     another worker has the lease                          (retryable)
    ├── LeaseLost                     our lease ended while we worked                       (retryable)
    ├── RateLimited                   our own limiter said no                               (retryable)
    ├── CircuitOpen                   a connection's breaker is open                        (retryable)
    ├── DependencyUnavailable         one of our own stores did not answer                  (retryable)
    │   ├── StoreUnavailable          Cosmos DB
    │   ├── QueueUnavailable          Service Bus
    │   ├── VaultUnavailable          Key Vault
    │   ├── CacheUnavailable          Redis
    │   │   └── CacheEmptied          it answers, but has lost its data
    │   └── TopicUnavailable          Event Grid
    ├── DocumentTooLarge              a document over the store's limit
    ├── MessageTooLarge               a message over the queue's limit
    ├── SignatureInvalid              a webhook whose sender can't be verified
    ├── ConnectionPaused              the connection is disabled or waits for re-authorisation
    ├── Unexpected                    a bug, met by one message of many                     (retryable)
    └── ProviderError                 what a provider answered, or didn't
        ├── ProviderUnavailable       timeout, connection error, 408, 5xx                   (retryable)
        │   ├── OutcomeUnknown        the request may have taken effect                     (retryable)
        │   └── MalformedResponse     an answer that can't be read                          (retryable)
        ├── ProviderRateLimited       429 and its relatives                                 (retryable)
        ├── AuthenticationFailed      the access token was refused                          (retryable)
        ├── ReauthRequired            the grant is dead: a person has to re-authorise
        ├── CursorExpired             the incremental cursor is too old: full pass
        ├── PreconditionRejected      the record changed at the provider meanwhile          (retryable)
        └── ProviderRejected          the provider refused for good
            ├── RecordNotFound        the record is gone
            ├── SchemaMismatch        a field or value the provider doesn't take
            └── PermissionDenied      the account may not do this

An exception's text is safe to log: it never holds a secret, a token or a record's values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class CastielError(Exception):
    """Something went wrong in Castiel."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        """``retry_after``: seconds before another try makes sense, where the other side said so."""
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])
        self.retry_after = retry_after

    @property
    def code(self) -> str:
        """A stable name for logs, results and programs: the class's own."""
        return type(self).__name__


class ConfigurationError(CastielError):
    """A setting is missing or malformed."""


class InvalidInput(CastielError):
    """The input can't be understood."""


class InvalidMessage(InvalidInput):
    """The queue message is not one of Castiel's."""


class InvalidWebhook(InvalidInput):
    """The webhook body can't be understood."""


class ConversionFailed(InvalidInput):
    """The record can't be converted by its schema."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        """``problems``: (field, what is wrong with it) pairs, without the values themselves."""
        super().__init__("; ".join(f"{field}: {problem}" for field, problem in problems) or None)
        self.problems = list(problems)


class NotFound(CastielError):
    """It does not exist."""


class AlreadyExists(CastielError):
    """A document with this id exists."""


class Conflict(CastielError):
    """The document was changed by somebody else since it was read."""

    retryable = True


class InUse(Conflict):
    """Something else needs it, so it can't be deleted."""

    retryable = False


class FirstPullPending(CastielError):
    """The connection's records have not been pulled yet, so nobody knows what is there already."""

    retryable = True


class LeaseHeld(CastielError):
    """Another worker holds the lease."""

    retryable = True


class LeaseLost(CastielError):
    """The lease ended while the work was still going on."""

    retryable = True


class RateLimited(CastielError):
    """A rate limit of Castiel's own is met."""

    retryable = True


class CircuitOpen(CastielError):
    """The connection failed too often lately and is left alone for a while."""

    retryable = True


class DependencyUnavailable(CastielError):
    """A service that Castiel runs on did not answer."""

    retryable = True


class StoreUnavailable(DependencyUnavailable):
    """Cosmos DB did not answer, or asked to slow down."""


class QueueUnavailable(DependencyUnavailable):
    """Service Bus did not answer, or asked to slow down."""


class VaultUnavailable(DependencyUnavailable):
    """Key Vault did not answer, or asked to slow down."""


class CacheUnavailable(DependencyUnavailable):
    """Redis did not answer."""


class CacheEmptied(CacheUnavailable):
    """Redis answered, but it has lost what this process had told it; nothing was decided."""


class TopicUnavailable(DependencyUnavailable):
    """Event Grid did not answer."""


class DocumentTooLarge(CastielError):
    """The document is larger than the store accepts (2 MB)."""


class MessageTooLarge(CastielError):
    """The message is larger than the queue accepts."""


class SignatureInvalid(CastielError):
    """The sender of the webhook can't be verified."""


class ConnectionPaused(CastielError):
    """The connection is disabled, or waits for a person to authorise it again."""


class Unexpected(CastielError):
    """Something nobody has foreseen; its name is all that is said of it, since its text may quote anything."""

    retryable = True


class ProviderError(CastielError):
    """A provider refused or failed a call."""

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: float | None = None,
        status: int | None = None,
        provider_code: str | None = None,
    ) -> None:
        """``status``: the HTTP status, if there was one; ``provider_code``: the provider's own error code."""
        super().__init__(message, retry_after=retry_after)
        self.status = status
        self.provider_code = provider_code


class ProviderUnavailable(ProviderError):
    """The provider did not answer in time, or answered that it can't now."""

    retryable = True


class OutcomeUnknown(ProviderUnavailable):
    """The answer never came, so the write may or may not have taken effect."""


class MalformedResponse(ProviderUnavailable):
    """The provider's answer can't be read."""


class ProviderRateLimited(ProviderError):
    """The provider asked to slow down."""

    retryable = True


class AuthenticationFailed(ProviderError):
    """The provider refused the access token."""

    retryable = True


class ReauthRequired(ProviderError):
    """The grant is no longer valid: a person has to authorise the connection again."""


class CursorExpired(ProviderError):
    """The incremental cursor is too old for the provider."""


class PreconditionRejected(ProviderError):
    """The record changed at the provider since it was read."""

    retryable = True


class ProviderRejected(ProviderError):
    """The provider refused the call, and will again."""


class RecordNotFound(ProviderRejected):
    """The record does not exist at the provider, or no longer."""


class SchemaMismatch(ProviderRejected):
    """The provider does not take a field or value as it was sent."""


class PermissionDenied(ProviderRejected):
    """The connected account may not do this."""
