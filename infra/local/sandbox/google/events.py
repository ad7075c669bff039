"""The pushes Google sends: a channel's notification (headers only), or a Pub/Sub message with an OIDC token.

Sources: https://developers.google.com/workspace/calendar/api/guides/push,
https://docs.cloud.google.com/pubsub/docs/push#receive_push, …/authenticate-push-subscriptions
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import jwt

from infra.local.sandbox.clock import iso_z
from infra.local.sandbox.google.channels import Channels
from infra.local.sandbox.google.names import ACCOUNT
from infra.local.sandbox.provider import ControlError

JsonObject = dict[str, Any]
_SUBSCRIPTION = "projects/castiel-example/subscriptions/castiel-push"


def build_event(options: JsonObject, channels: Channels, now_ms: int) -> tuple[bytes, dict[str, str]]:
    """Body and headers. Options: kind (``channel`` or ``pubsub``), and

    channel: channelId, state (``sync``, ``exists``), messageNumber, secret (the channel's token);
    pubsub: data (a JSON object), attributes, deliveryId, subscription, secret (a PEM private key), keyId,
    audience, email (the subscription's service account).
    """
    kind = options.get("kind", "channel")
    if kind == "channel":
        return b"", channels.headers(options)
    if kind != "pubsub":
        raise ControlError(f"no kind of event {kind!r}")
    data = options.get("data") or {"emailAddress": ACCOUNT, "historyId": str(now_ms)}
    message_id = str(options.get("deliveryId") or now_ms)
    message: JsonObject = {
        "data": base64.b64encode(json.dumps(data).encode()).decode(),
        "messageId": message_id,
        "message_id": message_id,
        "publishTime": iso_z(now_ms),
        "publish_time": iso_z(now_ms),
    }
    if options.get("attributes"):
        message["attributes"] = options["attributes"]
    body = json.dumps({"message": message, "subscription": options.get("subscription", _SUBSCRIPTION)})
    headers = {"Content-Type": "application/json", "User-Agent": "CloudPubSub-Google"}
    if options.get("secret"):
        headers["Authorization"] = f"Bearer {_token(options, now_ms)}"
    return body.encode(), headers


def _token(options: JsonObject, now_ms: int) -> str:
    issued = datetime.fromtimestamp(now_ms // 1000, UTC)
    claims = {
        "iss": "https://accounts.google.com",
        "aud": options.get("audience", "https://castiel.example.com"),
        "azp": "113774264463038321964",
        "sub": "113774264463038321964",
        "email": options.get("email", "pusher@castiel-example.iam.gserviceaccount.com"),
        "email_verified": True,
        "iat": int(issued.timestamp()),
        "exp": int(issued.timestamp()) + 3600,
    }
    return jwt.encode(
        claims, options["secret"], algorithm="RS256", headers={"kid": options.get("keyId", "key-1")}
    )
