"""Events of a webhook subscription: thin notices that name a page, a data source, a comment …

Sources: https://developers.notion.com/reference/webhooks,
https://developers.notion.com/reference/webhooks-events-delivery
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import SecretStr

from castiel.adapters.notion.records import ENTITY
from castiel.adapters.notion.settings import canonical_id, data_source_ids
from castiel.domain.messages import Operation
from castiel.domain.model import as_utc
from castiel.domain.strict_json import read_json
from castiel.domain.webhooks import Delivery, WebhookEvent, WebhookRequest
from castiel.errors import InvalidWebhook

_OPERATIONS = {
    "page.created": Operation.CREATE,
    "page.properties_updated": Operation.UPDATE,
    # A title's change comes as this one.
    "page.content_updated": Operation.UPDATE,
    "page.moved": Operation.UPDATE,
    "page.undeleted": Operation.UPDATE,
    "page.deleted": Operation.DELETE,
}
"""The events that change a record. Others (locked, comments, views …) are audited and lead to nothing."""

_LISTS_PAGES = "data_source.content_updated"
_MOST_TEXT = 255


class NotionWebhooks:
    """Reads deliveries whose signature was verified.

    A registration's settings: ``botId`` (as ``check`` tells it) marks our own writes, ``dataSourceId`` leaves out
    the pages of other data sources.
    """

    signature_preset = "notion"

    def handshake(self, request: WebhookRequest) -> dict[str, Any] | None:
        """A new verification token for a subscription whose present one signed it needs no more than a 200."""
        return {"success": True} if self.offered_secret(request) else None

    def offered_secret(self, request: WebhookRequest) -> SecretStr | None:
        """The signing secret that a subscription's first delivery hands over; ``None`` for any other delivery.

        That delivery is unsigned: nothing else could sign it yet. So it may only be taken for a registration that
        an operator has just opened for it and that has no secret, and never replace one.
        """
        try:
            body = read_json(request.body)
        except ValueError:
            return None
        token = body.get("verification_token") if isinstance(body, dict) and len(body) == 1 else None
        return SecretStr(token) if isinstance(token, str) and 0 < len(token) <= _MOST_TEXT else None

    def parse(self, request: WebhookRequest) -> Delivery:
        """Read a delivery. Raises :class:`InvalidWebhook`, which names the field and never its value."""
        body = _object(_json(request.body), "body")
        return Delivery(_text(body, "id"), tuple(_events(body, request.settings)))


def _events(body: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[WebhookEvent]:
    name = _text(body, "type")
    entity = _object(body.get("entity"), "entity")
    data = _object(body.get("data") or {}, "data")
    common: dict[str, Any] = {
        "event_type": name,
        "occurred_at": _moment(_text(body, "timestamp")),
        "own_write": _is_ours(body.get("authors"), settings),
    }
    if name == _LISTS_PAGES:
        pages = [block for block in _objects(data.get("updated_blocks")) if block.get("type") == "page"]
        ours = _is_watched(entity.get("id"), settings)
        for page in pages if ours else ():
            yield WebhookEvent(**common, entity=ENTITY, external_id=_id(page), operation=Operation.UPDATE)
        if pages and ours:
            return
    parent = _object(data.get("parent") or {}, "data.parent")
    concerns = name in _OPERATIONS and _is_watched(parent.get("data_source_id"), settings)
    yield WebhookEvent(
        **common,
        entity=ENTITY if concerns else None,
        external_id=_id(entity),
        operation=_OPERATIONS.get(name),
        changed_fields=_texts(data.get("updated_properties")) if name in _OPERATIONS else (),
    )


def _is_ours(authors: Any, settings: Mapping[str, Any]) -> bool:
    """Whether our bot alone made the changes: events are aggregated, and one person's edit makes it a change."""
    bot = canonical_id(settings.get("botId"))
    found = _objects(authors)
    return (
        bot is not None
        and bool(found)
        and all(author.get("type") == "bot" and canonical_id(author.get("id")) == bot for author in found)
    )


def _is_watched(data_source_id: Any, settings: Mapping[str, Any]) -> bool:
    """Whether the data source is one of the registration's; all are where it names none."""
    return not settings.get("dataSourceId") or canonical_id(data_source_id) in data_source_ids(settings)


def _id(entity: Mapping[str, Any]) -> str:
    found = canonical_id(entity.get("id"))
    if found is None:
        raise InvalidWebhook("entity.id: not an id")
    return found


def _json(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError:
        raise InvalidWebhook("body: not JSON") from None


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidWebhook(f"{name}: an object is needed")
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise InvalidWebhook("a list of objects is needed")
    return value


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > _MOST_TEXT:
        raise InvalidWebhook(f"{name}: a text is needed")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _moment(text: str) -> datetime:
    try:
        return as_utc(datetime.fromisoformat(text))
    except ValueError:
        raise InvalidWebhook("timestamp: not a time") from None
