"""What issues and pull requests take in a write, and how it is checked.

Source: https://docs.github.com/en/rest/issues/issues#create-an-issue, …#update-an-issue,
https://docs.github.com/en/rest/pulls/pulls#create-a-pull-request, …#update-a-pull-request
"""

from __future__ import annotations

from typing import Any

from infra.local.sandbox.github.api import Call
from infra.local.sandbox.github.errors import invalid, unprocessable
from infra.local.sandbox.github.world import World

JsonObject = dict[str, Any]
_TEXT, _NULL = (str,), type(None)
_TYPES: dict[str, tuple[type, ...]] = {
    "title": (str, int),
    "body": (str, _NULL),
    "assignee": (str, _NULL),
    "assignees": (list,),
    "labels": (list,),
    "milestone": (int, str, _NULL),
    "type": (str, _NULL),
}
_STATE: dict[str, tuple[type, ...]] = {"state": _TEXT, "state_reason": (str, _NULL)}
ISSUE_CREATE = _TYPES
ISSUE_UPDATE = {**_TYPES, **_STATE}
PULL_CREATE: dict[str, tuple[type, ...]] = {
    "title": _TEXT,
    "body": (str, _NULL),
    "head": _TEXT,
    "head_repo": _TEXT,
    "base": _TEXT,
    "draft": (bool,),
    "issue": (int,),
    "maintainer_can_modify": (bool,),
}
PULL_UPDATE: dict[str, tuple[type, ...]] = {
    "title": _TEXT,
    "body": (str, _NULL),
    "state": _TEXT,
    "base": _TEXT,
    "maintainer_can_modify": (bool,),
}
_REASONS = ("completed", "not_planned", "duplicate", "reopened")
_MOST_BODY, _MOST_TITLE = 65_536, 256


async def issue_fields(call: Call, world: World, repository_id: str, *, creating: bool) -> JsonObject:
    """The checked fields of a body, as the world keeps them. Raises ApiError."""
    body = await call.checked(ISSUE_CREATE if creating else ISSUE_UPDATE)
    fields = _texts(body, "Issue", creating)
    if "labels" in body:
        fields["labels"] = [_label(one) for one in body["labels"]]
    if "assignee" in body:
        body["assignees"] = [body["assignee"]] if body["assignee"] else []
    if "assignees" in body:
        fields["assignees"] = _people(body["assignees"], world)
    if "milestone" in body:
        fields["milestone"] = _milestone(body["milestone"], world, repository_id)
    reason = body.get("state_reason")
    if reason is not None:
        if reason not in _REASONS:
            raise invalid("Issue", "state_reason", value=reason)
        fields["stateReason"] = reason
    return fields


async def pull_fields(call: Call, *, creating: bool) -> JsonObject:
    """The same for a pull request."""
    body = await call.checked(PULL_CREATE if creating else PULL_UPDATE)
    fields = _texts(body, "PullRequest", creating)
    for name in ("head", "base"):
        if creating and not body.get(name):
            raise unprocessable(f'"{name}" wasn\'t supplied.')
        if name in body:
            fields[name] = str(body[name]).rpartition(":")[2]
    if "draft" in body:
        fields["draft"] = body["draft"]
    return fields


def _texts(body: JsonObject, resource: str, creating: bool) -> JsonObject:
    if creating and "title" not in body:
        raise unprocessable('"title" wasn\'t supplied.')
    fields: JsonObject = {}
    if "title" in body:
        fields["title"] = str(body["title"])
        if not fields["title"].strip():
            raise invalid(resource, "title", "missing_field")
        _check_length(resource, "title", fields["title"], _MOST_TITLE)
    if "body" in body:
        # GitHub keeps an empty body as none.
        fields["body"] = body["body"] or None
        _check_length(resource, "body", body["body"] or "", _MOST_BODY)
    if "state" in body:
        if body["state"] not in ("open", "closed"):
            raise invalid(resource, "state", value=body["state"])
        fields["state"] = body["state"]
    return fields


def _check_length(resource: str, field: str, text: str, most: int) -> None:
    if len(text) > most:
        raise invalid(
            resource, field, "custom", message=f"{field} is too long (maximum is {most} characters)"
        )


def _label(given: Any) -> str:
    name = given.get("name") if isinstance(given, dict) else given
    if not isinstance(name, str) or not name:
        raise invalid("Label", "name", "missing_field")
    return name


def _people(given: list[Any], world: World) -> list[str]:
    for login in given:
        account = world.account(login) if isinstance(login, str) else None
        if account is None or account["type"] != "User":
            raise invalid("Issue", "assignees", value=login)
    return list(dict.fromkeys(given))


def _milestone(given: Any, world: World, repository_id: str) -> int | None:
    if given is None:
        return None
    if not str(given).isdigit() or world.milestone(repository_id, int(given)) is None:
        raise invalid("Issue", "milestone", value=given)
    return int(given)
