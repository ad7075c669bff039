"""Where one connection's calls get their token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from castiel.adapters.http import AccessToken
from castiel.domain.connections import Connection
from castiel.domain.credentials import Credential, CredentialType, TokenSecret
from castiel.errors import AuthenticationFailed, ConfigurationError
from castiel.services.credentials.reader import StoredToken

if TYPE_CHECKING:
    from castiel.services.credentials.service import SecureCredentialService

RENEWED_SECONDS = 60.0
"""A refused token that was got within this is not replaced."""


def ensure_same_provider(connection: Connection, credential: Credential) -> None:
    """One provider's secret is no other's to see. Raises :class:`ConfigurationError`."""
    if credential.integration_id != connection.integration_id:
        raise ConfigurationError(
            f"connection {connection.id}, credentialId: {credential.id} is one for {credential.integration_id}"
        )


class CredentialAuthorizer:
    """:class:`~castiel.adapters.http.Authorizer` of one connection."""

    def __init__(self, credentials: SecureCredentialService, connection: Connection) -> None:
        self._credentials = credentials
        self._connection = connection

    async def current(self) -> AccessToken:
        """The token to use now."""
        return await self._access(
            await self._credentials.get_credential(self._connection.tenant_id, self._connection.credential_id)
        )

    async def replace(self, refused: AccessToken) -> AccessToken:
        """Another token, after the provider refused this one: a newer one that is stored already, or a new one.

        Raises :class:`~castiel.errors.AuthenticationFailed` for a token that was new a moment ago: what is wrong
        then is not the token, and each call would make another.
        """
        current = await self._credentials.reader.get(
            self._connection.tenant_id, self._connection.credential_id
        )
        wait = self._credentials.still_new_for(current, RENEWED_SECONDS)
        if wait > 0 and current.token.access_token == refused.value:
            raise AuthenticationFailed("the provider refuses a token that is just new", retry_after=wait)
        return await self._access(
            await self._credentials.refresh_oauth_token(
                self._connection.tenant_id,
                self._connection.credential_id,
                refused=TokenSecret(access_token=refused.value),
            )
        )

    async def _access(self, stored: StoredToken) -> AccessToken:
        ensure_same_provider(self._connection, stored.credential)
        certificate = await self._credentials.client_certificate(stored)
        only_certificate = stored.credential.type is CredentialType.CLIENT_CERTIFICATE
        value = SecretStr("") if only_certificate else stored.token.access_token
        return AccessToken(value, stored.token.instance_url, certificate)
