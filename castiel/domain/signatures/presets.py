"""The schemes of known senders. Each is configuration over the same few algorithms: copy one and change it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .schemes import SignatureScheme, parse_scheme

_DEFINITIONS: dict[str, dict[str, Any]] = {
    # The commission's scheme: Salesforce itself signs no webhooks; an Apex callout can.
    "salesforce": {
        "algorithm": "hmac-sha256",
        "signatureHeader": "X-Salesforce-Content-SHA256",
    },
    # https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    "github": {
        "algorithm": "hmac-sha256",
        "signatureHeader": "X-Hub-Signature-256",
        "prefix": "sha256=",
    },
    # GitHub still sends it beside the other, for receivers that know nothing newer.
    "github-sha1": {
        "algorithm": "hmac-sha1",
        "signatureHeader": "X-Hub-Signature",
        "prefix": "sha1=",
    },
    # https://developers.notion.com/reference/webhooks (the key is the subscription's verification_token)
    "notion": {
        "algorithm": "hmac-sha256",
        "signatureHeader": "X-Notion-Signature",
        "prefix": "sha256=",
    },
    # https://docs.slack.dev/authentication/verifying-requests-from-slack
    "slack": {
        "algorithm": "request-signing",
        "signatureHeader": "X-Slack-Signature",
        "timestampHeader": "X-Slack-Request-Timestamp",
    },
    # https://developers.google.com/workspace/calendar/api/guides/push (no signature; a token we choose)
    "google-channel": {
        "algorithm": "shared-token",
        "header": "X-Goog-Channel-Token",
    },
    # https://docs.cloud.google.com/pubsub/docs/authenticate-push-subscriptions. Refuses everything until
    # audiences and emails (the push subscription's service account) are set.
    "google-pubsub": {
        "algorithm": "oidc-jwt",
        "issuers": ["https://accounts.google.com", "accounts.google.com"],
    },
    # The commission's header pair, "selector:token": the selector names the key, the token is the signature.
    # Google sends neither header today.
    "google-iam": {
        "algorithm": "rsa-sha256",
        "signatureHeader": "X-Goog-IAM-Authorization-Token",
        "keyIdHeader": "X-Goog-IAM-Authority-Selector",
    },
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    "standard-webhooks": {
        "algorithm": "timestamp-signature",
        "signatureHeader": "webhook-signature",
        "timestampHeader": "webhook-timestamp",
        "idHeader": "webhook-id",
        "template": "{id}.{timestamp}.{body}",
        "encoding": "base64",
        "entrySeparator": " ",
        "fieldSeparator": ",",
        "secretPrefix": "whsec_",
        "secretEncoding": "base64",
    },
    # https://docs.stripe.com/webhooks#verify-manually (the whole secret is the key, its prefix included)
    "stripe-like": {
        "algorithm": "timestamp-signature",
        "signatureHeader": "Stripe-Signature",
        "timestampField": "t",
    },
    # https://shopify.dev/docs/apps/build/webhooks/subscribe/https
    "shopify-like": {
        "algorithm": "hmac-sha256",
        "signatureHeader": "X-Shopify-Hmac-Sha256",
        "encoding": "base64",
    },
}

PRESETS: Mapping[str, SignatureScheme] = MappingProxyType(
    {name: parse_scheme(definition) for name, definition in _DEFINITIONS.items()}
)
"""Ready schemes by name."""


def preset(name: str, **changes: Any) -> SignatureScheme:
    """A preset with some settings of its own (camelCase or snake_case), validated as a whole.

    Raises ``KeyError`` for an unknown name, pydantic's ``ValidationError`` for settings that don't fit.
    """
    settings = PRESETS[name].model_dump(by_alias=False, exclude_unset=True)
    return parse_scheme({**settings, **_snake(PRESETS[name], changes)})


def _snake(scheme: SignatureScheme, changes: dict[str, Any]) -> dict[str, Any]:
    by_alias = {field.alias: name for name, field in type(scheme).model_fields.items() if field.alias}
    return {by_alias.get(key, key): value for key, value in changes.items()}
