"""The sandbox's GitHub: its routes, and what the control API does to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from infra.local.sandbox.faults import FaultRule, Faults
from infra.local.sandbox.github.api import VERSIONS, Gate
from infra.local.sandbox.github.endpoints import Endpoints
from infra.local.sandbox.github.errors import ApiError, ordered
from infra.local.sandbox.github.events import build_event
from infra.local.sandbox.github.oauth import OAuth
from infra.local.sandbox.github.seed import DEFAULT_REPOSITORY, ensure_repository, seed_records
from infra.local.sandbox.github.tokens import NAME, USER, Tokens
from infra.local.sandbox.github.world import ISSUE, PULL_REQUEST, REPOSITORY, World
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.sampledata import SampleData
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]
_ENTITIES = (ISSUE, PULL_REQUEST, REPOSITORY)
_ITEM_FIELDS = {
    "title",
    "body",
    "state",
    "labels",
    "assignees",
    "milestone",
    "head",
    "base",
    "draft",
    "comments",
}
_REPOSITORY_FIELDS = {
    "name",
    "owner",
    "description",
    "homepage",
    "private",
    "archived",
    "hasIssues",
    "topics",
}


class GitHubProvider:
    """One organization, one user, one app with one installation. See `provider.Provider` for the promises."""

    name = NAME
    root_segments: tuple[str, ...] = ()

    def __init__(self, store: Store) -> None:
        self.store = store
        self.faults = Faults()
        self._tokens = Tokens(store)
        self._world = World(store, self.faults)
        self._gate = Gate(store, self._tokens)
        self._oauth = OAuth(store, self._tokens)
        self._endpoints = Endpoints(self._world, self._tokens, self._gate)

    def routes(self) -> list[web.RouteDef]:
        return [*self._oauth.routes(), *self._endpoints.routes()]

    def error_response(self, rule: FaultRule) -> web.Response:
        return ordered(rule.status or 500, rule.code, rule.message)

    def decorate(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "GitHub.com"
        response.headers["X-GitHub-Request-Id"] = "0400:0000:0000000:0000000:00000000"
        if f"/{NAME}/login/" in request.path:
            return
        response.headers["X-GitHub-Media-Type"] = "github.v3; format=json"
        version = request.headers.get("X-GitHub-Api-Version", VERSIONS[0])
        if version in VERSIONS:
            response.headers["X-GitHub-Api-Version-Selected"] = version
        _, _, token = request.headers.get("Authorization", "").partition(" ")
        session = self._tokens.session(token)
        if session is not None:
            response.headers.update(self._gate.quota())
            if session.get("scope"):
                response.headers["X-OAuth-Scopes"] = str(session["scope"])
        if response.status in (403, 429) and _is_primary(response):
            response.headers["X-RateLimit-Remaining"] = "0"

    def reset(self) -> None:
        self.store.forget(NAME)
        self._gate.reset()

    def seed(self, counts: Mapping[str, int], seed: int) -> dict[str, int]:
        return seed_records(self._world, counts, seed)

    def plain(self, entity: str, record_id: str) -> JsonObject | None:
        record = self.store.get(NAME, _entity(entity), record_id)
        return self._plain(entity, record) if record else None

    def plain_list(self, entity: str, deleted: bool, limit: int, offset: int) -> list[JsonObject]:
        where = "1" if deleted else "deleted=0"
        tail = f"ORDER BY modified_ms, id LIMIT {int(limit)} OFFSET {int(offset)}"
        found = self.store.find(NAME, _entity(entity), where, (), tail)
        return [self._plain(entity, record) for record in found]

    def create_record(self, entity: str, fields: JsonObject) -> str:
        """An item may name its ``repository`` (owner/name); it is made where it isn't there."""
        if _entity(entity) == REPOSITORY:
            name = str(
                fields.pop("full_name", "") or f"{fields.pop('owner', 'octo-org')}/{fields.pop('name')}"
            )
            return self._world.create_repository(name, "web", **_known(fields, _REPOSITORY_FIELDS)).id
        repository = self._repository(str(fields.pop("repository", DEFAULT_REPOSITORY)))
        known = _known(fields, _ITEM_FIELDS)
        for login in known.get("assignees", []):
            self._world.account(login, make=True)
        return self._world.create_item(entity, repository.id, known, USER, "web").id

    def edit_record(self, entity: str, record_id: str, fields: JsonObject) -> None:
        """An issue can be sent on: ``transferTo`` names the repository."""
        record = self._live(entity, record_id)
        if entity == REPOSITORY:
            self._world.edit_repository(record, _known(fields, _REPOSITORY_FIELDS), "web")
            return
        target = fields.pop("transferTo", None)
        if target is not None and entity == ISSUE:
            self._world.transfer_issue(record, self._repository(str(target)), "web")
            return
        for login in fields.get("assignees", []):
            self._world.account(login, make=True)
        self._world.edit_item(entity, record, _known(fields, _ITEM_FIELDS), USER, "web")

    def delete_record(self, entity: str, record_id: str) -> None:
        """As the site (issues, repositories) or GitHub's support (pull requests) does it."""
        record = self._live(entity, record_id)
        self._world.delete_item(entity, record, "web")
        if entity == REPOSITORY:
            for kind in (ISSUE, PULL_REQUEST):
                where = "deleted=0 AND json_extract(data,'$.repo')=?"
                for item in self.store.find(NAME, kind, where, (record.id,)):
                    self._world.delete_item(kind, item, "web")

    def policy(self) -> JsonObject:
        return self._tokens.policy()

    def set_policy(self, changes: JsonObject) -> JsonObject:
        try:
            policy = self._tokens.set_policy(changes)
        except KeyError as error:
            raise ControlError(f"no setting {error}") from None
        if "requestsUsed" in changes:
            self._gate.reset()
        return policy

    def grant(self, options: JsonObject, base_url: str) -> JsonObject:  # noqa: ARG002  (the protocol's)
        """A user's pair; with ``installation`` a token of the app's installation."""
        client_id = str(options.get("clientId", "castiel-local"))
        if options.get("installation"):
            return {"access_token": self._tokens.open_installation(client_id)[0]}
        return self._tokens.grant(client_id, str(options.get("scope", "")), options.get("refreshToken"))

    def expire_access_tokens(self) -> int:
        return self._tokens.expire_sessions()

    def revoke(self, token: str | None) -> int:
        return self._tokens.revoke_all() if token is None else int(self._tokens.revoke(token))

    def event(self, options: JsonObject) -> tuple[bytes, dict[str, str]]:
        entity, record_id = options.get("entity"), options.get("id")
        record = self.store.get(NAME, _entity(str(entity)), str(record_id)) if entity and record_id else None
        try:
            return build_event(options, self._world, record)
        except ApiError as error:
            raise ControlError(str(error)) from None

    def _plain(self, entity: str, record: Record) -> JsonObject:
        data = {name: value for name, value in record.data.items() if name not in ("id", "repo")}
        if entity != REPOSITORY:
            repository = self.store.get(NAME, REPOSITORY, record.data["repo"])
            if repository is not None:
                data["repository"] = f"{repository.data['owner']}/{repository.data['name']}"
        return data | {"id": record.id, "deleted": record.deleted, "modifiedMs": record.modified_ms}

    def _live(self, entity: str, record_id: str) -> Record:
        record = self.store.get(NAME, _entity(entity), record_id)
        if record is None or record.deleted:
            raise ControlError(f"no {entity} {record_id}", 404)
        return record

    def _repository(self, full_name: str) -> Record:
        owner, _, name = full_name.partition("/")
        found = self._world.repository_named(owner, name)
        if found is None and full_name == DEFAULT_REPOSITORY:
            ensure_repository(self._world, 0, SampleData(7))
            found = self._world.repository_named(owner, name)
        return found or self._world.create_repository(full_name, "web")


def _is_primary(response: web.StreamResponse) -> bool:
    body = response.body if isinstance(response, web.Response) else None
    return isinstance(body, bytes) and b"API rate limit exceeded" in body


def _entity(name: str) -> str:
    if name not in _ENTITIES:
        raise ControlError(f"no entity {name!r}", 404)
    return name


def _known(fields: JsonObject, known: set[str]) -> JsonObject:
    unknown = set(fields) - known
    if unknown:
        raise ControlError(f"no field {', '.join(sorted(unknown))}")
    return fields
