"""What a record's fields become in a request.

Sources: https://docs.github.com/en/rest/issues/issues#create-an-issue, …#update-an-issue,
https://docs.github.com/en/rest/pulls/pulls#create-a-pull-request, …#update-a-pull-request
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from castiel.adapters.github.records import ISSUE, PULL_REQUEST
from castiel.errors import SchemaMismatch

UPDATABLE: Mapping[str, tuple[str, ...]] = {
    ISSUE: ("title", "body", "state", "state_reason", "labels", "assignees", "milestone"),
    PULL_REQUEST: ("title", "body", "state", "base"),
}
CREATABLE: Mapping[str, tuple[str, ...]] = {
    ISSUE: ("title", "body", "labels", "assignees", "milestone"),
    PULL_REQUEST: ("title", "body", "head", "base", "draft"),
}
_STATE = ("state", "state_reason")
_PARTS = {"labels": "name", "assignees": "login", "milestone": "number", "head": "ref", "base": "ref"}
"""Fields that are read as objects and written as one member of them."""


def creation_of(entity: str, fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The body of a create, and of the update behind it where the record isn't to be open.

    Raises :class:`SchemaMismatch`, naming fields that GitHub doesn't take.
    """
    state = {name: fields[name] for name in _STATE if fields.get(name) is not None}
    rest = {name: value for name, value in fields.items() if name not in (*_STATE, "repository")}
    body = _body(rest, CREATABLE[entity])
    closes = state.get("state") == "closed"
    return {name: value for name, value in body.items() if value is not None}, state if closes else None


def changes_of(entity: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The body of an update; ``None`` clears a field. Raises :class:`SchemaMismatch` as above."""
    fixed = {"repository", *CREATABLE[entity]} - {*UPDATABLE[entity]}
    changes = {name: value for name, value in fields.items() if name not in fixed}
    if "state_reason" in changes and changes["state_reason"] is None:
        del changes["state_reason"]
    return _body(changes, UPDATABLE[entity])


def target_of(fields: Mapping[str, Any], settings: Mapping[str, Any], names: Sequence[str]) -> str:
    """The repository (``owner/name``) that a new record goes to. Raises :class:`SchemaMismatch`."""
    given = fields.get("repository")
    named = given.get("full_name") if isinstance(given, dict) else given
    target = named or settings.get("defaultRepository") or (names[0] if len(names) == 1 else None)
    if not isinstance(target, str):
        raise SchemaMismatch("repository: none is named, and the connection has no defaultRepository")
    return target


def _body(fields: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    unknown = sorted(set(fields) - set(allowed))
    if unknown:
        raise SchemaMismatch(f"GitHub doesn't take {', '.join(unknown)}")
    return {name: _value(name, value) for name, value in fields.items()}


def _value(name: str, value: Any) -> Any:
    part = _PARTS.get(name)
    if part is None:
        return value
    if name in ("labels", "assignees"):
        items = value if isinstance(value, list) else []
        return [item.get(part) if isinstance(item, dict) else item for item in items]
    return value.get(part) if isinstance(value, dict) else value
