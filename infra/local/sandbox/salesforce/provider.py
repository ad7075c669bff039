"""The Salesforce org of the sandbox: its routes, and what the control API does to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from infra.local.sandbox.faults import FaultRule, Faults
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.salesforce.collections import Collections
from infra.local.sandbox.salesforce.cursors import Cursors
from infra.local.sandbox.salesforce.describe import limits
from infra.local.sandbox.salesforce.errors import ApiError, ordered
from infra.local.sandbox.salesforce.events import build_event
from infra.local.sandbox.salesforce.ids import USER_ID
from infra.local.sandbox.salesforce.oauth import OAuth
from infra.local.sandbox.salesforce.query import Queries, batch_size
from infra.local.sandbox.salesforce.rendering import value_of
from infra.local.sandbox.salesforce.rows import NAME, Rows, Writer
from infra.local.sandbox.salesforce.schema import OBJECTS, SObject
from infra.local.sandbox.salesforce.seed import seed_records
from infra.local.sandbox.salesforce.sobjects import SObjects
from infra.local.sandbox.salesforce.tokens import DEFAULT_SCOPE, Tokens
from infra.local.sandbox.salesforce.web_api import VERSIONS, Call, Gate, answer
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]


class SalesforceProvider:
    """One org with one integration user. See `provider.Provider` for what each method promises."""

    name = NAME
    root_segments: tuple[str, ...] = ("services",)

    def __init__(self, store: Store) -> None:
        self.store = store
        self.faults = Faults()
        self._tokens = Tokens(store)
        self._oauth = OAuth(store, self._tokens)
        self._gate = Gate(self._tokens)
        self._cursors = Cursors(store.clock)
        self._queries = Queries(store, self._cursors)
        self._rows = Rows(store, self.faults)
        self._rows.unique_external_ids = bool(self._tokens.policy()["uniqueExternalIds"])

    def routes(self) -> list[web.RouteDef]:
        gate = self._gate
        return [
            *self._oauth.routes(),
            web.get("/services/data{_:/?}", self._versions),
            gate.route("GET", "/query{_:/?}", self._query),
            gate.route("GET", "/queryAll{_:/?}", self._query_all),
            gate.route("GET", "/query/{locator}", self._query_more),
            gate.route("GET", "/queryAll/{locator}", self._query_more),
            gate.route("GET", "/limits{_:/?}", self._limits),
            *SObjects(self._rows).routes(gate),
            *Collections(self._rows).routes(gate),
        ]

    # REST ------------------------------------------------------------------------------------------------

    async def _versions(self, _request: web.Request) -> web.Response:
        return answer(
            [{"label": f"API {n}", "url": f"/services/data/v{n}.0", "version": f"{n}.0"} for n in VERSIONS]
        )

    async def _query(self, call: Call) -> web.Response:
        return self._run_query(call, include_deleted=False)

    async def _query_all(self, call: Call) -> web.Response:
        return self._run_query(call, include_deleted=True)

    def _run_query(self, call: Call, *, include_deleted: bool) -> web.Response:
        soql = call.request.query.get("q")
        if not soql:
            raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
        return answer(
            self._queries.run(
                soql,
                include_deleted=include_deleted,
                rows=batch_size(call.request.headers.get("Sforce-Query-Options")),
                session=call.access_token,
                version=call.version,
                max_cursors=int(self._tokens.policy()["maxLocators"]),
            )
        )

    async def _query_more(self, call: Call) -> web.Response:
        page = self._queries.more(
            call.request.match_info["locator"],
            session=call.access_token,
            version=call.version,
            locator_seconds=int(self._tokens.policy()["locatorSeconds"]),
        )
        return answer(page)

    async def _limits(self, _call: Call) -> web.Response:
        return answer(limits(self._gate.used, self._gate.maximum))

    # The sandbox's side ----------------------------------------------------------------------------------

    def error_response(self, rule: FaultRule) -> web.Response:
        error = ordered(rule.status, rule.code, rule.message)
        if error is None:
            return web.Response(status=rule.status or 500)
        if rule.status is not None:
            error = ApiError(rule.status, error.code, error.message, error.fields)
        return error.response()

    def decorate(self, request: web.Request, response: web.StreamResponse) -> None:
        if "/services/data/v" in request.path:
            response.headers["Sforce-Limit-Info"] = f"api-usage={self._gate.used}/{self._gate.maximum}"

    def reset(self) -> None:
        self.store.forget(NAME)
        self._cursors.clear()
        self._gate.reset()
        self._rows.unique_external_ids = bool(self._tokens.policy()["uniqueExternalIds"])

    def seed(self, counts: Mapping[str, int], seed: int) -> dict[str, int]:
        self._ensure_user()
        return seed_records(self.store, counts, seed)

    def plain(self, entity: str, record_id: str) -> JsonObject | None:
        record = self.store.get(NAME, _object(entity).name, record_id)
        return _plain(_object(entity), record) if record else None

    def plain_list(self, entity: str, deleted: bool, limit: int, offset: int) -> list[JsonObject]:
        where = "1" if deleted else "deleted=0"
        tail = f"ORDER BY modified_ms, id LIMIT {int(limit)} OFFSET {int(offset)}"
        sobject = _object(entity)
        return [_plain(sobject, record) for record in self.store.find(NAME, sobject.name, where, (), tail)]

    def create_record(self, entity: str, fields: JsonObject) -> str:
        with _as_control_error():
            return self._rows.create(_object(entity), fields, Writer())

    def edit_record(self, entity: str, record_id: str, fields: JsonObject) -> None:
        with _as_control_error():
            self._rows.update(_object(entity), record_id, fields, Writer())

    def delete_record(self, entity: str, record_id: str) -> None:
        with _as_control_error():
            self._rows.delete(_object(entity), record_id, Writer())

    def policy(self) -> JsonObject:
        return self._tokens.policy()

    def set_policy(self, changes: JsonObject) -> JsonObject:
        try:
            policy = self._tokens.set_policy(changes)
        except KeyError as error:
            raise ControlError(f"no setting {error}") from None
        if "apiRequestsUsed" in changes:
            self._gate.reset()
        if policy["maxLocators"] == 0:
            self._cursors.clear()
        self._rows.unique_external_ids = bool(policy["uniqueExternalIds"])
        return policy

    def grant(self, options: JsonObject, base_url: str) -> JsonObject:
        client_id, scope = options.get("clientId", "castiel-local"), options.get("scope", DEFAULT_SCOPE)
        refresh_token = self._tokens.grant(client_id, scope, options.get("refreshToken"))
        answered = self._oauth.answer(base_url, client_id, scope, refresh_token)
        return answered | {"refresh_token": refresh_token}

    def expire_access_tokens(self) -> int:
        return self._tokens.expire_sessions()

    def revoke(self, token: str | None) -> int:
        return self._tokens.revoke_all() if token is None else int(self._tokens.revoke(token))

    def event(self, options: JsonObject) -> tuple[bytes, dict[str, str]]:
        return build_event(options, self.store.clock.now_ms())

    def _ensure_user(self) -> None:
        """The integration user is a record too, so that Owner.Name has something to show."""
        if self.store.get(NAME, "User", USER_ID) is None:
            data = {
                "FirstName": "Castiel",
                "LastName": "Integration",
                "Name": "Castiel Integration",
                "Email": "integration@castiel.example.com",
                "Username": "integration@castiel.example.com",
                "Alias": "castiel",
                "IsActive": True,
                "TimeZoneSidKey": "Europe/Berlin",
            }
            long_ago = self.store.clock.now_ms() // 1000 * 1000 - 400 * 86_400_000
            self.store.put(NAME, "User", Record(USER_ID, data, long_ago, long_ago))


def _object(name: str) -> SObject:
    if name not in OBJECTS:
        raise ControlError(f"no object {name!r}", 404)
    return OBJECTS[name]


def _plain(sobject: SObject, record: Record) -> JsonObject:
    fields = {field.name: value_of(record, field) for field in sobject.fields.values()}
    return fields | {"id": record.id, "deleted": record.deleted, "modifiedMs": record.modified_ms}


class _as_control_error:  # noqa: N801 — reads as the `with` it is used in
    """Turns the org's refusal of an out-of-band write into the control API's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ApiError):
            raise ControlError(f"{error.code}: {error.message}", error.status) from None
