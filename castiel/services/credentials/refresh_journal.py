"""The journal of a credential's refreshes: what was begun, and what came of it.

It is kept in the credential's own document. An attempt that is still open tells whoever comes next that the provider
may have been called, and nobody knows its answer.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from castiel.domain.credentials import Credential, RefreshAttempt
from castiel.errors import CastielError, LeaseHeld
from castiel.ports.clock import Clock
from castiel.ports.stores import CredentialStore
from castiel.services.credentials.documents import update

logger = logging.getLogger(__name__)

ATTEMPT_SECONDS = 90.0
"""Without Redis an open attempt in the journal keeps others away for so long."""


class RefreshJournal:
    """Opens and closes attempts."""

    def __init__(self, credentials: CredentialStore, clock: Clock) -> None:
        self._credentials = credentials
        self._clock = clock

    async def open(self, credential: Credential, *, leased: bool, current: bool) -> tuple[Credential, bool]:
        """Journal that the provider is about to be called; and whether the attempt before was interrupted.

        Raises :class:`Conflict` for a document that is not ``current`` and has been written since it was read.
        """
        now = self._clock.now()
        last = credential.last_attempt
        interrupted = last is not None and last.is_open
        attempt = RefreshAttempt(id=self._clock.new_id(), started_at=now)
        if last is not None and interrupted:
            if not leased and now - last.started_at < timedelta(seconds=ATTEMPT_SECONDS):
                raise LeaseHeld("another worker refreshes this credential", retry_after=ATTEMPT_SECONDS)
            logger.warning(
                "credential %s: its refresh of %s was interrupted",
                credential.id,
                last.started_at.isoformat(timespec="seconds"),
                extra={"credentialId": credential.id, "tenantId": credential.tenant_id},
            )
        if leased and current:
            return await update(self._credentials, credential, lambda c: _begin(c, attempt)), interrupted
        # Without Redis this write is the lease: whoever comes second meets its ETag. So does who read it too early.
        credential = credential.copy_of()
        _begin(credential, attempt)
        return await self._credentials.replace(credential), interrupted

    async def close(self, credential: Credential, error: CastielError) -> None:
        """Journal what the attempt failed with."""
        try:
            await update(self._credentials, credential, lambda c: _failed(c, error.code))
        except CastielError as also:
            logger.warning(
                "the outcome of a refresh could not be journalled: %s",
                also,
                extra={"credentialId": credential.id, "tenantId": credential.tenant_id},
            )

    async def note_failure(self, tenant_id: str, credential_id: str, code: str) -> None:
        """Journal a failure that came before the provider could be asked: a secret that can't be read, say."""
        attempt = RefreshAttempt(id=self._clock.new_id(), started_at=self._clock.now(), outcome=code)

        def change(credential: Credential) -> bool:
            if credential.last_attempt is not None and credential.last_attempt.is_open:
                return False
            credential.last_attempt = attempt
            _failed(credential, code)
            return True

        try:
            await update(self._credentials, await self._credentials.get(tenant_id, credential_id), change)
        except CastielError as also:
            logger.warning(
                "a failed refresh could not be journalled: %s",
                also,
                extra={"credentialId": credential_id, "tenantId": tenant_id},
            )


def _begin(credential: Credential, attempt: RefreshAttempt) -> None:
    credential.last_attempt = attempt


def _failed(credential: Credential, code: str) -> None:
    credential.last_error_code = code
    credential.consecutive_failures = (credential.consecutive_failures or 0) + 1
    if credential.last_attempt is not None:
        credential.last_attempt.outcome = code
