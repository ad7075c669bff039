"""GitHub's JSON as Castiel's records."""

from __future__ import annotations

from typing import Any

from castiel.adapters.base import ExternalRecord
from castiel.adapters.github.ids import ItemId
from castiel.adapters.github.marker import is_deleted, key_of, without_marks
from castiel.adapters.github.moments import parse_moment
from castiel.errors import MalformedResponse

ISSUE, PULL_REQUEST, REPOSITORY = "Issue", "PullRequest", "Repository"
KINDS = {ISSUE: "issues", PULL_REQUEST: "pulls"}
"""Entity → its part of a path."""


def item_record(entity: str, repository: int, raw: dict[str, Any]) -> ExternalRecord:
    """An issue or pull request. One that Castiel closed as deleted, and nobody opened since, is deleted.

    Both get a ``repository`` (``owner/name``): GitHub says it elsewhere in each, for an issue as an address only.
    """
    updated_at = raw.get("updated_at")
    return ExternalRecord(
        entity=entity,
        external_id=str(ItemId(repository, number_of(raw))),
        fields={**raw, "repository": _repository_name(raw), "body": without_marks(raw.get("body"))},
        modified_at=parse_moment(updated_at),
        deleted=raw.get("state") == "closed" and is_deleted(raw.get("body")),
        version=str(updated_at),
        made_from=key_of(raw.get("body")),
    )


def repository_record(raw: dict[str, Any]) -> ExternalRecord:
    """A repository."""
    return ExternalRecord(
        entity=REPOSITORY,
        external_id=str(id_of(raw)),
        fields=raw,
        modified_at=parse_moment(raw.get("updated_at")),
        version=str(raw.get("updated_at")),
    )


def gone(entity: str, external_id: str) -> ExternalRecord:
    """A record of which GitHub says that it was deleted, or moved to another repository."""
    return ExternalRecord(entity=entity, external_id=external_id, fields={}, deleted=True)


def id_of(raw: dict[str, Any]) -> int:
    """A repository's number. Raises :class:`MalformedResponse`."""
    return _integer(raw, "id")


def number_of(raw: dict[str, Any]) -> int:
    """An issue's or pull request's number in its repository. Raises :class:`MalformedResponse`."""
    return _integer(raw, "number")


def is_pull_request(raw: dict[str, Any]) -> bool:
    """Whether an item of an issue list is a pull request: GitHub lists both."""
    return "pull_request" in raw


def _repository_name(raw: dict[str, Any]) -> str | None:
    base = raw.get("base")
    if isinstance(base, dict) and isinstance(base.get("repo"), dict):
        return str(base["repo"].get("full_name"))
    parts = str(raw.get("repository_url") or "").split("/")
    return "/".join(parts[-2:]) if len(parts) > 2 else None


def _integer(raw: dict[str, Any], name: str) -> int:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedResponse(f"a record without {name}")
    return value
