"""What the sandboxed GitHub holds: accounts, repositories with labels and milestones, issues and pull requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from infra.local.sandbox.faults import Faults
from infra.local.sandbox.github.errors import ApiError, invalid, not_found
from infra.local.sandbox.github.tokens import APP_SLUG, NAME, USER
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]
ISSUE, PULL_REQUEST, REPOSITORY = "Issue", "PullRequest", "Repository"
ITEMS = (ISSUE, PULL_REQUEST)
BOT = f"{APP_SLUG}[bot]"


class World:
    """Reads and writes. Every method raises ApiError as GitHub would answer."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self.store = store
        self.faults = faults
        store.index("repo")

    def now(self) -> int:
        """Whole seconds: GitHub's times have no more."""
        return self.store.clock.now_ms() // 1000 * 1000

    # Accounts --------------------------------------------------------------------------------------------

    def account(self, login: str, kind: str = "User", *, make: bool = False) -> JsonObject | None:
        """The account; with ``make`` it is there afterwards."""
        found: JsonObject | None = self.store.document(NAME, "account", login.lower())
        if found is None and (make or login in (USER, BOT)):
            kind = "Bot" if login == BOT else kind
            found = {"id": 583_230 + self.store.next_number(f"{NAME}:account"), "login": login, "type": kind}
            self.store.put_document(NAME, "account", login.lower(), found)
        return found

    # Repositories ----------------------------------------------------------------------------------------

    def repository(self, repository_id: str) -> Record:
        record = self.store.get(NAME, REPOSITORY, repository_id)
        if record is None or record.deleted:
            raise not_found()
        return record

    def repository_named(self, owner: str, name: str) -> Record | None:
        """The repository that has the name now, deleted ones aside."""
        where = "deleted=0 AND lower(json_extract(data,'$.owner'))=? AND lower(json_extract(data,'$.name'))=?"
        found = self.store.find(NAME, REPOSITORY, where, (owner.lower(), name.lower()))
        return found[0] if found else None

    def former(self, owner: str, name: str) -> str | None:
        """The id of the repository that had the name before."""
        found: str | None = self.store.document(NAME, "former", f"{owner}/{name}".lower())
        return found

    def repositories(self) -> list[Record]:
        return self.store.find(NAME, REPOSITORY, "deleted=0", (), "ORDER BY created_ms, CAST(id AS INTEGER)")

    def create_repository(self, full_name: str, origin: str, **fields: Any) -> Record:
        owner, _, name = full_name.partition("/")
        self.account(owner, "Organization", make=True)
        number = 1_296_268 + self.store.next_number(f"{NAME}:repository")
        data = {
            "owner": owner,
            "name": name,
            "description": None,
            "homepage": None,
            "private": False,
            "archived": False,
            "hasIssues": True,
            "language": None,
            "topics": [],
            "stars": 0,
            "defaultBranch": "main",
        } | fields
        record = Record(str(number), data, self.now(), self.now())
        self.store.put(NAME, REPOSITORY, record)
        self.store.log_change(NAME, REPOSITORY, record.id, "create", data, origin)
        return record

    def edit_repository(self, record: Record, changes: JsonObject, origin: str) -> None:
        """A new ``name`` or ``owner`` leaves a redirect behind."""
        if {"name", "owner"} & set(changes):
            old = f"{record.data['owner']}/{record.data['name']}".lower()
            self.store.put_document(NAME, "former", old, record.id)
        if "owner" in changes:
            self.account(changes["owner"], "Organization", make=True)
        self._replace(REPOSITORY, record, changes, origin)

    def open_items(self, repository_id: str) -> int:
        """Open issues and pull requests, which GitHub counts together."""
        sql = (
            "SELECT COUNT(*) FROM records WHERE provider=? AND entity IN ('Issue','PullRequest') AND deleted=0 "
            "AND json_extract(data,'$.repo')=? AND json_extract(data,'$.state')='open'"
        )
        return int(self.store.select(sql, (NAME, repository_id))[0][0])

    # Labels and milestones -------------------------------------------------------------------------------

    def label(self, repository_id: str, name: str) -> JsonObject:
        """The label; one that isn't there is made, as GitHub does when an issue names it."""
        key = f"{repository_id}/{name.lower()}"
        found: JsonObject | None = self.store.document(NAME, "label", key)
        if found is None:
            found = {
                "id": 208_045_945 + self.store.next_number(f"{NAME}:label"),
                "name": name,
                "color": "ededed",
                "default": False,
                "description": None,
            }
            self.store.put_document(NAME, "label", key, found)
        return found

    def labels(self, repository_id: str) -> list[JsonObject]:
        found = self.store.documents(NAME, "label")
        return [value for key, value in found.items() if key.startswith(f"{repository_id}/")]

    def milestone(self, repository_id: str, number: int) -> JsonObject | None:
        found: JsonObject | None = self.store.document(NAME, "milestone", f"{repository_id}/{number}")
        return found

    def create_milestone(self, repository_id: str, title: str) -> JsonObject:
        number = self.store.next_number(f"{NAME}:milestone:{repository_id}")
        identity = 1_002_604 + self.store.next_number(f"{NAME}:milestone")
        made = {"id": identity, "number": number, "title": title, "createdMs": self.now()}
        self.store.put_document(NAME, "milestone", f"{repository_id}/{number}", made)
        return made

    # Issues and pull requests ----------------------------------------------------------------------------

    def item(self, entity: str, repository_id: str, number: int) -> Record:
        """A live one. 410 for a deleted issue, 301 (``movedTo``) is the caller's."""
        record = self.store.get(NAME, entity, f"{repository_id}-{number}")
        if record is None:
            raise not_found()
        if record.deleted and not record.data.get("movedTo"):
            raise ApiError(410, "This issue was deleted")
        return record

    def item_of_either(self, repository_id: str, number: int) -> tuple[str, Record]:
        """An issue, or the pull request that is one too."""
        for entity in ITEMS:
            if self.store.get(NAME, entity, f"{repository_id}-{number}") is not None:
                return entity, self.item(entity, repository_id, number)
        raise not_found()

    def create_item(
        self, entity: str, repository_id: str, fields: JsonObject, login: str, origin: str
    ) -> Record:
        self._play_fault("create", entity, None, origin)
        number = self.store.next_number(f"{NAME}:number:{repository_id}")
        data = {
            "repo": repository_id,
            "number": number,
            "id": 1_347_000_000 + self.store.next_number(f"{NAME}:item"),
            "title": "",
            "body": None,
            "state": "open",
            "stateReason": None,
            "labels": [],
            "assignees": [],
            "milestone": None,
            "user": login,
            "comments": 0,
            "locked": False,
            "closedMs": None,
            "closedBy": None,
            "app": APP_SLUG if login == BOT else None,
        }
        if entity == PULL_REQUEST:
            data |= {"head": "", "base": "main", "draft": False, "mergedMs": None}
        data |= fields
        for name in data["labels"]:
            self.label(repository_id, name)
        record = Record(f"{repository_id}-{number}", data, self.now(), self.now())
        with self.store.transaction():
            self.store.put(NAME, entity, record)
            self.store.log_change(NAME, entity, record.id, "create", data, origin)
        return record

    def edit_item(self, entity: str, record: Record, fields: JsonObject, login: str, origin: str) -> Record:
        """Nothing is touched, not even the time, where nothing differs."""
        self._play_fault("update", entity, record.id, origin)
        changes = {name: value for name, value in fields.items() if record.data.get(name) != value}
        if changes.get("state") == "closed":
            changes |= {"closedMs": self.now(), "closedBy": login}
            if entity == ISSUE:
                changes.setdefault("stateReason", "completed")
        if changes.get("state") == "open":
            changes |= {"closedMs": None, "closedBy": None}
            if entity == ISSUE:
                changes["stateReason"] = "reopened"
        for name in changes.get("labels", []):
            self.label(record.data["repo"], name)
        return self._replace(entity, record, changes, origin) if changes else record

    def delete_item(self, entity: str, record: Record, origin: str) -> None:
        self.store.put(NAME, entity, replace(record, deleted=True, modified_ms=self.now()))
        self.store.log_change(NAME, entity, record.id, "delete", {}, origin)

    def transfer_issue(self, record: Record, target: Record, origin: str) -> Record:
        """Into another repository: a new issue, and a redirect where the old one was."""
        kept = ("title", "body", "state", "stateReason", "labels", "assignees", "user", "comments")
        fields = {name: record.data[name] for name in kept}
        made = self.create_item(ISSUE, target.id, fields, record.data["user"], origin)
        old = replace(record, data=record.data | {"movedTo": made.id}, deleted=True, modified_ms=self.now())
        self.store.put(NAME, ISSUE, old)
        self.store.log_change(NAME, ISSUE, record.id, "delete", {"movedTo": made.id}, origin)
        return made

    def _replace(self, entity: str, record: Record, changes: JsonObject, origin: str) -> Record:
        edited = replace(record, data=record.data | changes, modified_ms=self.now())
        with self.store.transaction():
            self.store.put(NAME, entity, edited)
            self.store.log_change(NAME, entity, record.id, "update", changes, origin)
        return edited

    def _play_fault(self, operation: str, entity: str, record_id: str | None, origin: str) -> None:
        """Only calls of the API meet ordered faults, not the control API's."""
        rule = self.faults.for_record(operation, entity, record_id) if origin != "web" else None
        if rule is not None:
            raise invalid(entity, "title", str(rule.code), message=rule.message or str(rule.code))
