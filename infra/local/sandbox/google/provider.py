"""The Google account of the sandbox: its routes, and what the control API does to it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from infra.local.sandbox.faults import FaultRule, Faults
from infra.local.sandbox.google import calendar, people
from infra.local.sandbox.google.batch import batch
from infra.local.sandbox.google.calendar import Calendar
from infra.local.sandbox.google.calendar_api import CalendarApi
from infra.local.sandbox.google.channels import Channels
from infra.local.sandbox.google.errors import ApiError, ordered
from infra.local.sandbox.google.events import build_event
from infra.local.sandbox.google.names import NAME
from infra.local.sandbox.google.oauth import OAuth
from infra.local.sandbox.google.people import People
from infra.local.sandbox.google.people_api import PeopleApi
from infra.local.sandbox.google.person_schema import WRITABLE
from infra.local.sandbox.google.seed import seed_records
from infra.local.sandbox.google.tokens import Tokens
from infra.local.sandbox.google.web_api import Api, read_call, respond
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]
_OUT_OF_BAND = "contacts.google.com"
_ENTITIES = (people.ENTITY, calendar.ENTITY)


class GoogleProvider:
    """One account. See `provider.Provider` for what each method promises."""

    name = NAME
    root_segments: tuple[str, ...] = ()

    def __init__(self, store: Store) -> None:
        self.store = store
        self.faults = Faults()
        self._tokens = Tokens(store)
        self._oauth = OAuth(store, self._tokens)
        self._channels = Channels(store)
        self._people = People(store, self.faults)
        self._calendar = Calendar(store, self.faults)
        self._people_api = PeopleApi(self._people, self._tokens)
        self._calendar_api = CalendarApi(self._calendar, self._tokens, self._channels)

    def routes(self) -> list[web.RouteDef]:
        return [
            *self._oauth.routes(),
            web.route("*", "/v1/{tail:people.*}", _through(self._people_api.api)),
            web.route("*", "/calendar/v3/{tail:.*}", _through(self._calendar_api.api)),
            web.post("/batch/calendar/v3", self._batch),
        ]

    async def _batch(self, request: web.Request) -> web.Response:
        return await batch(request, self._calendar_api.api)

    # The sandbox's side ----------------------------------------------------------------------------------

    def error_response(self, rule: FaultRule) -> web.Response:
        status = rule.status or 500
        return web.json_response(ordered(status, rule.code, rule.message), status=status)

    def decorate(self, request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG002 - the protocol's
        """Google says nothing of quotas in its headers."""
        response.headers.setdefault("X-Content-Type-Options", "nosniff")

    def reset(self) -> None:
        self.store.forget(NAME)
        self._people_api.forget()

    def seed(self, counts: Mapping[str, int], seed: int) -> dict[str, int]:
        return seed_records(self.store, counts, seed)

    def plain(self, entity: str, record_id: str) -> JsonObject | None:
        record = self.store.get(NAME, _known(entity), record_id.removeprefix("people/"))
        return _plain(entity, record) if record else None

    def plain_list(self, entity: str, deleted: bool, limit: int, offset: int) -> list[JsonObject]:
        where = "1" if deleted else "deleted=0"
        tail = f"ORDER BY modified_ms, id LIMIT {int(limit)} OFFSET {int(offset)}"
        return [_plain(entity, record) for record in self.store.find(NAME, _known(entity), where, (), tail)]

    def create_record(self, entity: str, fields: JsonObject) -> str:
        with _as_control_error():
            if _known(entity) == calendar.ENTITY:
                return self._calendar.insert(fields, _OUT_OF_BAND, faulty=False).id
            checked = self._people.check_new(fields, faulty=False)
            return self._people.insert(checked, _OUT_OF_BAND).id

    def edit_record(self, entity: str, record_id: str, fields: JsonObject) -> None:
        with _as_control_error():
            if _known(entity) == calendar.ENTITY:
                self._calendar.update(record_id, fields, _OUT_OF_BAND, faulty=False)
                return
            mask = [name for name in fields if name in WRITABLE]
            person = fields | {"etag": people.etag(self._people.get(record_id))}
            changed = self._people.check_change(record_id, person, mask, faulty=False)
            self._people.replace(*changed, _OUT_OF_BAND)

    def delete_record(self, entity: str, record_id: str) -> None:
        with _as_control_error():
            if _known(entity) == calendar.ENTITY:
                self._calendar.delete(record_id, _OUT_OF_BAND, faulty=False)
            else:
                self._people.delete(self._people.get(record_id), _OUT_OF_BAND)

    def policy(self) -> JsonObject:
        return self._tokens.policy()

    def set_policy(self, changes: JsonObject) -> JsonObject:
        try:
            return self._tokens.set_policy(changes)
        except KeyError as error:
            raise ControlError(f"no setting {error}") from None

    def grant(self, options: JsonObject, base_url: str) -> JsonObject:  # noqa: ARG002 - the protocol's
        return self._oauth.granted(options)

    def expire_access_tokens(self) -> int:
        return self._tokens.expire_sessions()

    def revoke(self, token: str | None) -> int:
        return self._tokens.revoke_all() if token is None else int(self._tokens.revoke(token))

    def event(self, options: JsonObject) -> tuple[bytes, dict[str, str]]:
        return build_event(options, self._channels, self.store.clock.now_ms())


def _through(api: Api) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path.removeprefix(f"/{NAME}")
        return respond(api.answer(await read_call(request, path)))

    return handle


def _known(entity: str) -> str:
    if entity not in _ENTITIES:
        raise ControlError(f"no entity {entity!r}", 404)
    return entity


def _plain(entity: str, record: Record) -> JsonObject:
    fields = {name: value for name, value in record.data.items() if name != "rev"}
    kept = json.loads(json.dumps(fields))
    record_id = f"people/{record.id}" if entity == people.ENTITY else record.id
    return kept | {"id": record_id, "deleted": record.deleted, "modifiedMs": record.modified_ms}


class _as_control_error:  # noqa: N801 — reads as the `with` it is used in
    """Turns the account's refusal of an out-of-band write into the control API's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ApiError):
            raise ControlError(error.message, error.code) from None
