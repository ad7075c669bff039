"""Who sent a delivery: the registration's scheme, its live secrets and keys, and the check over the raw body."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from castiel.domain.signatures import (
    PRESETS,
    OidcScheme,
    PublicKey,
    Reason,
    Secret,
    SignatureRefused,
    SignatureScheme,
    Verification,
    parse_scheme,
    preset,
    verify,
)
from castiel.domain.webhooks import Registration, WebhookRequest
from castiel.errors import InvalidInput, NotFound, VaultUnavailable
from castiel.ports.clock import Clock
from castiel.services.credentials import SecureCredentialService
from castiel.services.flights import Flights
from castiel.services.jwks import KEY_SETS, KeySets
from castiel.services.webhooks.registrations import STALE_SECONDS, Recent, RegistrationCache

logger = logging.getLogger(__name__)

SECRET_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 5.0
"""A refused signature is tried once more with what is stored now, if what was read is older than this."""
ENTRIES = 10_000
_LOOK_AGAIN = frozenset({Reason.MISMATCH, Reason.NO_SECRET, Reason.UNKNOWN_KEY})


class SignatureVerification:
    """Fails closed: whatever is missing, unreadable or unknown refuses the delivery."""

    def __init__(
        self,
        registrations: RegistrationCache,
        credentials: SecureCredentialService,
        key_sets: KeySets,
        clock: Clock,
    ) -> None:
        self._registrations = registrations
        self._credentials = credentials
        self._key_sets = key_sets
        self._clock = clock
        self._secrets: Recent[str, tuple[float, bytes | None]] = Recent(ENTRIES)
        self._reads: Flights[str, bytes | None] = Flights()
        self._schemes: Recent[str, tuple[Registration, SignatureScheme]] = Recent(ENTRIES)
        self._keys: Recent[str, tuple[Registration, tuple[PublicKey, ...]]] = Recent(ENTRIES)

    async def verify(self, registration: Registration, request: WebhookRequest) -> Verification:
        """Raises :class:`SignatureRefused`; what our own stores or the key server fail at is raised as it is."""
        try:
            return await self._verify(registration, request)
        except SignatureRefused as refusal:
            # A registration that was just changed, a secret that was just rotated, a key that was just published.
            newer = await self._look_again(registration, refusal)
            if newer is None:
                raise
            return await self._verify(newer, request)

    async def _verify(self, registration: Registration, request: WebhookRequest) -> Verification:
        scheme = self.scheme_of(registration)
        secrets = await self._live(registration, scheme)
        return verify(scheme, request.headers, request.body, secrets, self._clock.now())

    def scheme_of(self, registration: Registration) -> SignatureScheme:
        """The registration's scheme, read once. Raises :class:`SignatureRefused` for one that can't be read."""
        known = self._schemes.get(registration.id)
        if known is None or known[0] is not registration:
            known = (registration, _scheme_of(registration))
            self._schemes.put(registration.id, known)
        return known[1]

    async def _look_again(self, registration: Registration, refusal: SignatureRefused) -> Registration | None:
        """The registration as it is now, if anything that the signature is checked with may have changed."""
        if refusal.reason not in _LOOK_AGAIN:
            return None
        if refusal.reason is Reason.UNKNOWN_KEY and isinstance(self.scheme_of(registration), OidcScheme):
            return registration if await self._newer_keys(registration) else None
        if refusal.reason is Reason.MISMATCH and await self._newer_keys(registration):
            # A key set may hold keys without ids: then no token names one that is missing.
            return registration
        if self._registrations.age(registration.id) < LOOK_AGAIN_SECONDS:
            return None
        try:
            newer = await self._registrations.read(registration.id)
        except NotFound:
            return None
        for name in {*registration.secret_names, *newer.secret_names}:
            self._read_anew(name)
        return newer if newer.enabled else None

    async def _newer_keys(self, registration: Registration) -> bool:
        scheme = self.scheme_of(registration)
        url = _key_set_url(registration, scheme) if isinstance(scheme, OidcScheme) else None
        return url is not None and await self._key_sets.refresh(url)

    def _read_anew(self, name: str) -> None:
        """Next time. What is known stays for when the vault does not answer: anybody's forged delivery leads here."""
        cached = self._secrets.get(name)
        if cached is not None:
            read_at = min(cached[0], self._clock.monotonic() - SECRET_SECONDS)
            self._secrets.put(name, (read_at, cached[1]))

    async def _live(self, registration: Registration, scheme: SignatureScheme) -> list[Secret]:
        """Everything the sender may have signed with, the newest first."""
        found: list[Secret] = []
        for name in registration.secret_names:
            secret = await self._secret(name)
            # One that is gone keeps its place: the position tells which one the sender used.
            found.append(secret or b"")
        found.extend(self._public_keys(registration))
        if isinstance(scheme, OidcScheme):
            url = _key_set_url(registration, scheme)
            if url is not None:
                found.extend(await self._key_sets.keys(url))
        return found

    async def _secret(self, name: str) -> bytes | None:
        cached = self._secrets.get(name)
        now = self._clock.monotonic()
        if cached is not None and now - cached[0] < SECRET_SECONDS:
            return cached[1]
        try:
            value = await self._reads.run(name, lambda: self._read(name))
        except VaultUnavailable:
            if cached is None or cached[1] is None or now - cached[0] > STALE_SECONDS:
                raise
            logger.warning("Key Vault does not answer: a webhook secret read earlier is used")
            return cached[1]
        self._secrets.put(name, (now, value))
        return value

    async def _read(self, name: str) -> bytes | None:
        try:
            return (await self._credentials.read_secret(name)).encode()
        except NotFound:
            return None

    def _public_keys(self, registration: Registration) -> tuple[PublicKey, ...]:
        """``settings.publicKeys``: PEM keys with the ids that the sender names them by, as many as overlap."""
        given = registration.settings.get("publicKeys")
        if not given:
            return ()
        known = self._keys.get(registration.id)
        if known is None or known[0] is not registration:
            known = (registration, tuple(_readable(given)))
            self._keys.put(registration.id, known)
        return known[1]


def read_scheme(scheme: str | Mapping[str, Any]) -> SignatureScheme:
    """A preset by its name, a preset with changes (``{"preset": "google-pubsub", …}``), or a whole scheme.

    Raises ``KeyError`` for an unknown preset, pydantic's ``ValidationError`` (a ``ValueError``) for the rest.
    """
    if isinstance(scheme, str):
        return PRESETS[scheme]
    if "preset" in scheme:
        changes = {name: value for name, value in scheme.items() if name != "preset"}
        return preset(str(scheme["preset"]), **changes)
    return parse_scheme(dict(scheme))


def checked_scheme(scheme: str | Mapping[str, Any]) -> SignatureScheme:
    """The same for what a person gave. Raises :class:`InvalidInput`, with what is wrong in it."""
    try:
        return read_scheme(scheme)
    except KeyError:
        raise InvalidInput("scheme: nobody knows this preset") from None
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        found = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems[:5])
        raise InvalidInput(f"scheme: {found}") from None


def _scheme_of(registration: Registration) -> SignatureScheme:
    try:
        return read_scheme(registration.scheme)
    except (KeyError, ValidationError):
        logger.error("registration %s: its signature scheme can't be read", registration.id)
        raise SignatureRefused(Reason.UNCONFIGURED) from None


def _key_set_url(registration: Registration, scheme: SignatureScheme) -> str | None:
    """``settings.jwksUrl``, else where the first known issuer publishes its keys."""
    url = registration.settings.get("jwksUrl")
    if isinstance(url, str) and url:
        return url
    issuers = scheme.issuers if isinstance(scheme, OidcScheme) else ()
    return next((KEY_SETS[issuer] for issuer in issuers if issuer in KEY_SETS), None)


def _readable(given: Any) -> list[PublicKey]:
    keys = []
    for entry in given if isinstance(given, list) else ():
        pem = entry.get("pem") if isinstance(entry, dict) else None
        key_id = entry.get("keyId") if isinstance(entry, dict) else None
        try:
            keys.append(PublicKey.from_pem(str(pem).encode(), key_id if isinstance(key_id, str) else None))
        except ValueError:
            logger.error("a public key of a registration can't be read: it is left out")
    return keys
