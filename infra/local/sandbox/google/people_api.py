"""The People API's calls on contacts (https://developers.google.com/people/api/rest)."""

from __future__ import annotations

from typing import Any

from infra.local.sandbox.google.errors import ApiError, expired_sync_token, invalid
from infra.local.sandbox.google.names import ACCOUNT, ACCOUNT_ID, CONTACTS_SCOPE, NAME
from infra.local.sandbox.google.opaque import digest, seal, unseal
from infra.local.sandbox.google.people import ENTITY, People, show
from infra.local.sandbox.google.person_schema import checked_mask, checked_update_mask
from infra.local.sandbox.google.tokens import Tokens
from infra.local.sandbox.google.web_api import Answer, Api, Call
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]
ORIGIN = "people.googleapis.com"
_BATCH, _DELETE_BATCH = 200, 500
_ERRORS = "type.googleapis.com/google.people.v1.Batch{}ContactsErrorDetails"
_SORTED = {
    "LAST_MODIFIED_ASCENDING": "json_extract(data, '$.rev')",
    "LAST_MODIFIED_DESCENDING": "json_extract(data, '$.rev') DESC",
    "FIRST_NAME_ASCENDING": "json_extract(data, '$.names[0].givenName'), id",
    "LAST_NAME_ASCENDING": "json_extract(data, '$.names[0].familyName'), id",
}


class PeopleApi:
    """Reads, batches and single writes."""

    def __init__(self, people: People, tokens: Tokens) -> None:
        self._people = people
        self._tokens = tokens
        self._store = people.store
        self._full_syncs: list[int] = []
        self.api = Api(tokens, "people", CONTACTS_SCOPE)
        for method, path, handler in (
            ("GET", "/v1/people/me/connections", self._list),
            ("GET", "/v1/people:batchGet", self._batch_get),
            ("GET", "/v1/people:searchContacts", self._search),
            ("POST", "/v1/people:createContact", self._create),
            ("POST", "/v1/people:batchCreateContacts", self._batch_create),
            ("POST", "/v1/people:batchUpdateContacts", self._batch_update),
            ("POST", "/v1/people:batchDeleteContacts", self._batch_delete),
            ("GET", "/v1/people/{id}", self._get),
            ("PATCH", "/v1/people/{id}:updateContact", self._update),
            ("DELETE", "/v1/people/{id}:deleteContact", self._delete),
        ):
            self.api.add(method, path, handler)

    def forget(self) -> None:
        """Start counting full syncs anew."""
        self._full_syncs.clear()

    # Listing ---------------------------------------------------------------------------------------------

    def _list(self, call: Call) -> Answer:
        mask = checked_mask(call.one("personFields"), "personFields")
        size = call.number("pageSize", 100, 1, 1000)
        order = call.one("sortOrder", "LAST_MODIFIED_ASCENDING")
        if order not in _SORTED:
            raise invalid(f"Invalid value at 'sort_order': \"{order}\"", "sort_order")
        syncing = call.flag("requestSyncToken")
        shape = digest(
            {"mask": sorted(mask), "size": size, "sources": call.query.get("sources"), "sync": syncing}
        )
        page = self._page(call.one("pageToken"), shape)
        if page is None:
            page = self._first_page(call.one("syncToken"), shape, syncing)
        if syncing or page["since"] is not None:
            records = self._by_id(page, size + 1)
        else:
            records = self._sorted(page, size + 1, order)
        body: JsonObject = {"connections": [show(r, mask) for r in records[:size]]}
        if page["since"] is None:
            live = self._store.counts(NAME).get(ENTITY, {"live": 0})["live"]
            body |= {"totalPeople": live, "totalItems": live}
        if len(records) > size:
            seen = int(page["seen"]) + size
            body["nextPageToken"] = seal({**page, "after": records[size - 1].id, "seen": seen})
        elif syncing:
            body["nextSyncToken"] = seal(
                {"sync": shape, "rev": page["upTo"], "fullMs": page["fullMs"], "epoch": self._epoch()}
            )
        return Answer({name: value for name, value in body.items() if value != []})

    def _page(self, token: str, shape: str) -> JsonObject | None:
        if not token:
            return None
        page = unseal(token)
        if page is None or page.get("page") != shape:
            raise invalid("Request must match the first call that provided the page token.", "page_token")
        return page

    def _first_page(self, sync_token: str, shape: str, syncing: bool) -> JsonObject:
        now = self._store.clock.now_ms()
        page: JsonObject = {"page": shape, "after": "", "seen": 0, "since": None, "fullMs": now}
        page["upTo"] = self._settled_rev(now) if syncing or sync_token else 0
        if not sync_token:
            if syncing:
                self._count_full_sync(now)
            return page
        token = unseal(sync_token)
        if token is None or "sync" not in token:
            raise invalid("Invalid sync token.", "sync_token")
        lifetime_ms = int(self._tokens.policy()["syncTokenSeconds"]) * 1000
        if token["epoch"] != self._epoch() or now - int(token["fullMs"]) > lifetime_ms:
            raise expired_sync_token()
        if token["sync"] != shape:
            raise invalid("Request must match the first call that provided the sync token.", "sync_token")
        return page | {
            "since": token["rev"],
            "fullMs": token["fullMs"],
            "upTo": max(page["upTo"], token["rev"]),
        }

    def _settled_rev(self, now: int) -> int:
        """The last change that incremental syncs see by now (they lag behind writes by policy)."""
        delay = int(self._tokens.policy()["syncDelayMs"])
        sql = "SELECT MAX(json_extract(data, '$.rev')) FROM records WHERE provider=? AND entity=? AND modified_ms<=?"
        return int(self._store.select(sql, (NAME, ENTITY, now - delay))[0][0] or 0)

    def _count_full_sync(self, now: int) -> None:
        limit = int(self._tokens.policy()["fullSyncsPerMinute"])
        self._full_syncs = [at for at in self._full_syncs if at > now - 60_000]
        if limit and len(self._full_syncs) >= limit:
            text = "Quota exceeded for quota metric 'FULL_SYNC requests' and limit 'FULL_SYNC requests per minute per user'."
            raise ApiError(429, text, reason="rateLimitExceeded")
        self._full_syncs.append(now)

    def _by_id(self, page: JsonObject, size: int) -> list[Record]:
        """In an order that edits don't change: of a full sync the live ones, else what changed since."""
        where, values = "deleted=0 AND id>?", [page["after"]]
        if page["since"] is not None:
            where = "id>? AND json_extract(data, '$.rev')>? AND json_extract(data, '$.rev')<=?"
            values += [page["since"], page["upTo"]]
        return self._store.find(NAME, ENTITY, where, values, f"ORDER BY id LIMIT {size}")

    def _sorted(self, page: JsonObject, size: int, order: str) -> list[Record]:
        tail = f"ORDER BY {_SORTED[order]} LIMIT {size} OFFSET {int(page['seen'])}"
        return self._store.find(NAME, ENTITY, "deleted=0", (), tail)

    def _epoch(self) -> int:
        return int(self._tokens.policy()["syncTokenEpoch"])

    # Reading ---------------------------------------------------------------------------------------------

    def _get(self, call: Call) -> Answer:
        mask = checked_mask(call.one("personFields"), "personFields")
        if call.names["id"] == "me":
            return Answer(_myself(mask))
        return Answer(show(self._people.get(call.names["id"]), mask))

    def _batch_get(self, call: Call) -> Answer:
        mask = checked_mask(call.one("personFields"), "personFields")
        names = call.query.get("resourceNames", [])
        if not 1 <= len(names) <= _BATCH:
            raise invalid(f"Must specify between 1 and {_BATCH} resource names.", "resource_names")
        responses: list[JsonObject] = []
        for name in names:
            response: JsonObject = {"requestedResourceName": name}
            try:
                person = _myself(mask) if name == "people/me" else show(self._people.get(name), mask)
                response |= {"person": person, "httpStatusCode": 200, "status": {}}
            except ApiError as error:
                response |= {"httpStatusCode": error.code, "status": error.as_status()}
            responses.append(response)
        return Answer({"responses": responses})

    def _search(self, call: Call) -> Answer:
        mask = checked_mask(call.one("readMask"), "readMask")
        words, size = call.one("query").lower(), min(30, int(call.one("pageSize") or 10))
        found = []
        for record in self._store.find(NAME, ENTITY, "deleted=0", (), "ORDER BY id") if words else []:
            texts = [
                str(value)
                for field in ("names", "nicknames", "emailAddresses", "phoneNumbers", "organizations")
                for entry in record.data.get(field, [])
                for value in entry.values()
            ]
            if any(
                word.startswith(words) for text in texts for word in (text.lower(), *text.lower().split())
            ):
                found.append({"person": show(record, mask)})
        return Answer({"results": found[:size]} if found else {})

    # Writing ---------------------------------------------------------------------------------------------

    def _create(self, call: Call) -> Answer:
        mask = _read_mask(call.one("personFields"))
        record = self._people.insert(self._people.check_new(call.json()), ORIGIN)
        return Answer(show(record, mask))

    def _update(self, call: Call) -> Answer:
        mask = checked_update_mask(call.one("updatePersonFields"), "updatePersonFields")
        record, data = self._people.check_change(call.names["id"], call.json(), mask)
        return Answer(show(self._people.replace(record, data, ORIGIN), _read_mask(call.one("personFields"))))

    def _delete(self, call: Call) -> Answer:
        self._people.delete(self._people.check_delete(call.names["id"]), ORIGIN)
        return Answer({})

    def _batch_create(self, call: Call) -> Answer:
        """All or nothing: the error says which contacts were to blame."""
        body = call.json()
        contacts = _some(body.get("contacts"), list, _BATCH)
        read_mask = checked_mask(body["readMask"], "readMask") if body.get("readMask") else []
        checked, errors = [], {}
        for index, contact in enumerate(contacts):
            try:
                checked.append(self._people.check_new(contact.get("contactPerson") or {}))
            except ApiError as error:
                errors[str(index)] = error
        _refuse("Create", errors)
        with self._store.transaction():
            created = [self._people.insert(fields, ORIGIN) for fields in checked]
        if not read_mask:
            return Answer({})
        return Answer({"createdPeople": [_response(record, read_mask) for record in created]})

    def _batch_update(self, call: Call) -> Answer:
        body = call.json()
        contacts = _some(body.get("contacts"), dict, _BATCH)
        mask = checked_update_mask(str(body.get("updateMask") or ""), "updateMask")
        read_mask = checked_mask(body["readMask"], "readMask") if body.get("readMask") else []
        checked, errors = {}, {}
        for name, person in contacts.items():
            try:
                checked[name] = self._people.check_change(name, person, mask)
            except ApiError as error:
                errors[name] = error
        _refuse("Update", errors)
        with self._store.transaction():
            updated = {name: self._people.replace(*change, ORIGIN) for name, change in checked.items()}
        if not read_mask:
            return Answer({})
        return Answer(
            {"updateResult": {name: _response(record, read_mask) for name, record in updated.items()}}
        )

    def _batch_delete(self, call: Call) -> Answer:
        names = _some(call.json().get("resourceNames"), list, _DELETE_BATCH)
        records = [self._people.check_delete(name) for name in names]
        with self._store.transaction():
            for record in records:
                self._people.delete(record, ORIGIN)
        return Answer({})


def _some(value: Any, kind: type, most: int) -> Any:
    if not isinstance(value, kind) or not 1 <= len(value) <= most:
        raise invalid(f"Between 1 and {most} contacts must be given.")
    return value


def _refuse(what: str, errors: dict[str, ApiError]) -> None:
    if not errors:
        return
    first = next(iter(errors.values()))
    contact_errors = {name: error.as_status() for name, error in errors.items()}
    detail = {"@type": _ERRORS.format(what), "contactErrors": contact_errors}
    raise ApiError(first.code, first.message, status=first.status, details=[detail])


def _read_mask(text: str) -> list[str]:
    return (
        checked_mask(text, "personFields")
        if text
        else ["metadata", "names", "emailAddresses", "phoneNumbers"]
    )


def _response(record: Record, mask: list[str]) -> JsonObject:
    name = f"people/{record.id}"
    return {"httpStatusCode": 200, "person": show(record, mask), "requestedResourceName": name, "status": {}}


def _myself(mask: list[str]) -> JsonObject:
    source = {"type": "PROFILE", "id": ACCOUNT_ID}
    metadata = {"primary": True, "source": source}
    person: JsonObject = {"resourceName": f"people/{ACCOUNT_ID}", "etag": "%Eg=="}
    if "names" in mask:
        person["names"] = [
            {"metadata": metadata, "displayName": "Castiel Integration", "givenName": "Castiel"}
        ]
    if "emailAddresses" in mask:
        person["emailAddresses"] = [{"metadata": metadata | {"verified": True}, "value": ACCOUNT}]
    return person
