"""How a sender signs: configuration, one model per algorithm, told apart by ``algorithm``.

A scheme holds no secret. Field names are camelCase in JSON; an unknown field is an error, because a misspelt
``toleranceSeconds`` must not silently become the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from .encodings import Encoding, SecretEncoding
from .plan import Plan, lower
from .template import parse_template
from .timestamps import TimestampUnit

HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
Token = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,32}$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{0,64}$")]
HashName = Literal["sha256", "sha1"]

TOLERANCE_SECONDS = 300
"""Five minutes: what Slack, Stripe and Standard Webhooks recommend."""


class _Scheme(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True, extra="forbid"
    )

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, validated like any other scheme: an unchecked change must not decide whom we trust."""
        del deep  # nothing in a scheme can be changed
        return type(self).model_validate({**self.model_dump(exclude_unset=True), **(update or {})})


class _Signed(_Scheme):
    """What every signature over the body shares: where it is, how it is written, what was signed."""

    signature_header: HeaderName
    encoding: Encoding = "hex"
    template: str = Field(default="{body}", max_length=256)
    timestamp_header: HeaderName | None = None
    timestamp_unit: TimestampUnit = "s"
    tolerance_seconds: int = Field(default=TOLERANCE_SECONDS, ge=1, le=86_400)
    id_header: HeaderName | None = None

    @cached_property
    def plan(self) -> Plan:
        """The scheme as the verification uses it."""
        names = (self.signature_header, self.timestamp_header, self.id_header, self._key_id_header())
        return Plan(
            wanted={name.lower(): name for name in names if name},
            signature=self.signature_header.lower(),
            timestamp=lower(self.timestamp_header),
            message_id=lower(self.id_header),
            key_id=lower(self._key_id_header()),
            template=parse_template(self.template),
            prefix=self._prefix(),
            version=self._version() or "",
        )

    def _prefix(self) -> str:
        return ""

    def _version(self) -> str | None:
        return None

    def _key_id_header(self) -> str | None:
        return None

    def _has_timestamp(self) -> bool:
        return self.timestamp_header is not None

    @model_validator(mode="after")
    def _template_matches_its_sources(self) -> Self:
        try:
            used = parse_template(self.template).names
        except ValueError as error:
            raise _wrong("template", f"the template {error}") from None
        for name, available, source in (
            ("timestamp", self._has_timestamp(), "timestampHeader"),
            ("id", self.id_header is not None, "idHeader"),
            ("version", self._version() is not None, "version"),
        ):
            if name in used and not available:
                raise _wrong("template", f"the template uses {{{name}}} but no {source} is set")
            if available and name not in used:
                raise _wrong(
                    "template",
                    f"{source} is set, so the template must hold {{{name}}}: it is not signed otherwise",
                )
        headers = (self.signature_header, self.timestamp_header, self.id_header, self._key_id_header())
        named = [header.lower() for header in headers if header]
        if len(set(named)) < len(named):
            raise _wrong("signatureHeader", "two header fields name the same header")
        return self


class _Symmetric(_Signed):
    secret_prefix: Prefix = ""
    secret_encoding: SecretEncoding = "raw"  # noqa: S105 - the name of an encoding


class HmacScheme(_Symmetric):
    """One HMAC in one header (GitHub, Notion, Shopify); with a signed timestamp or id where the sender has one."""

    algorithm: Literal["hmac-sha256", "hmac-sha1"]
    prefix: Prefix = ""

    @property
    def hash(self) -> HashName:
        """The hash inside the HMAC."""
        return "sha1" if self.algorithm == "hmac-sha1" else "sha256"

    def _prefix(self) -> str:
        return self.prefix


class RequestSigningScheme(_Symmetric):
    """A signed base string with a version and a timestamp, as Slack's ``v0:{timestamp}:{body}``.

    https://docs.slack.dev/authentication/verifying-requests-from-slack
    """

    algorithm: Literal["request-signing"]
    timestamp_header: HeaderName
    version: Token = "v0"
    prefix: Prefix = "v0="
    template: str = Field(default="{version}:{timestamp}:{body}", max_length=256)
    hash: HashName = "sha256"

    def _prefix(self) -> str:
        return self.prefix

    def _version(self) -> str | None:
        return self.version


class TimestampSignatureScheme(_Symmetric):
    """A list of labelled signatures, and a timestamp in the same header or in its own.

    Stripe: ``t=1492774577,v1=<hex>`` (https://docs.stripe.com/webhooks#verify-manually). Standard Webhooks:
    ``v1,<base64> v1,<base64>`` beside ``webhook-timestamp`` and ``webhook-id``. Entries with another label are
    skipped: senders add new kinds of signatures beside the old.
    """

    algorithm: Literal["timestamp-signature"]
    template: str = Field(default="{timestamp}.{body}", max_length=256)
    entry_separator: Literal[",", " ", ";"] = ","
    field_separator: Literal["=", ",", ":"] = "="
    signature_field: Token = "v1"
    timestamp_field: Token | None = None
    hash: HashName = "sha256"

    def _has_timestamp(self) -> bool:
        return True

    @model_validator(mode="after")
    def _one_timestamp(self) -> Self:
        if (self.timestamp_field is None) == (self.timestamp_header is None):
            raise _wrong("timestampField", "set exactly one of timestampField and timestampHeader")
        if self.timestamp_field == self.signature_field:
            raise _wrong("timestampField", "must differ from signatureField")
        if self.entry_separator == self.field_separator:
            raise _wrong("fieldSeparator", "must differ from entrySeparator")
        return self


class RsaScheme(_Signed):
    """An RSA signature over SHA-256. Keys are public; with ``keyIdHeader`` the sender says which one it used."""

    algorithm: Literal["rsa-sha256"]
    encoding: Encoding = "base64"
    prefix: Prefix = ""
    padding: Literal["pkcs1v15", "pss"] = "pkcs1v15"
    key_id_header: HeaderName | None = None

    def _prefix(self) -> str:
        return self.prefix

    def _key_id_header(self) -> str | None:
        return self.key_id_header


class SharedTokenScheme(_Scheme):
    """A secret the sender repeats in a header. It proves who sends, not what: use where nothing is signed.

    Google's notification channels do this with an empty body:
    https://developers.google.com/workspace/calendar/api/guides/push
    """

    algorithm: Literal["shared-token"]
    header: HeaderName
    prefix: Prefix = ""


class OidcScheme(_Scheme):
    """An OpenID Connect token in a header, as Google Pub/Sub pushes with. It names the sender; the body isn't signed.

    Anybody's service account gets tokens of Google's for any audience, so the audience alone proves nothing:
    without ``emails`` or ``subjects`` every delivery is refused.
    https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions
    """

    algorithm: Literal["oidc-jwt"]
    header: HeaderName = "Authorization"
    prefix: Prefix = "Bearer "
    algorithms: tuple[Literal["RS256", "ES256"], ...] = Field(default=("RS256",), min_length=1)
    issuers: tuple[str, ...] = Field(min_length=1)
    audiences: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    leeway_seconds: int = Field(default=60, ge=0, le=300)


HmacLike = HmacScheme | RequestSigningScheme | TimestampSignatureScheme
SignedScheme = HmacLike | RsaScheme

SignatureScheme = Annotated[
    HmacScheme | RequestSigningScheme | TimestampSignatureScheme | RsaScheme | SharedTokenScheme | OidcScheme,
    Field(discriminator="algorithm"),
]
"""Any scheme; usable as a field's type in other models."""

_ADAPTER: TypeAdapter[SignatureScheme] = TypeAdapter(SignatureScheme)


def parse_scheme(data: Any) -> SignatureScheme:
    """A scheme from its JSON object. Raises pydantic's ``ValidationError``, which names the field."""
    return _ADAPTER.validate_python(data)


def _wrong(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("signature_scheme", "{field}: {message}", {"field": field, "message": message})
