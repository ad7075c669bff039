"""The entities and fields of GitHub, which are the same for every account.

Source: https://docs.github.com/en/rest/issues/issues, …/rest/pulls/pulls, …/rest/repos/repos (response schemas)
"""

from __future__ import annotations

from castiel.adapters.github.payloads import CREATABLE, UPDATABLE
from castiel.adapters.github.records import ISSUE, PULL_REQUEST, REPOSITORY
from castiel.domain.fields import EntityDescription, FieldDescription, FieldType

_TITLE_LENGTH, _BODY_LENGTH = 256, 65_536
_STATES = ("open", "closed")
_REASONS = ("completed", "not_planned", "duplicate", "reopened")

_SHARED: tuple[tuple[str, FieldType], ...] = (
    ("id", "integer"),
    ("node_id", "string"),
    ("number", "integer"),
    ("title", "string"),
    ("body", "text"),
    ("state", "enum"),
    ("html_url", "url"),
    ("user", "object"),
    ("user.login", "string"),
    ("labels", "list"),
    ("assignees", "list"),
    ("milestone", "object"),
    ("milestone.number", "integer"),
    ("milestone.title", "string"),
    ("locked", "boolean"),
    ("created_at", "datetime"),
    ("updated_at", "datetime"),
    ("closed_at", "datetime"),
    ("author_association", "string"),
)
_ISSUE: tuple[tuple[str, FieldType], ...] = (
    ("state_reason", "enum"),
    ("comments", "integer"),
    ("repository_url", "url"),
)
_PULL_REQUEST: tuple[tuple[str, FieldType], ...] = (
    ("draft", "boolean"),
    ("merged_at", "datetime"),
    ("merge_commit_sha", "string"),
    ("head", "object"),
    ("head.ref", "string"),
    ("head.sha", "string"),
    ("base", "object"),
    ("base.ref", "string"),
    ("base.repo.full_name", "string"),
)
_REPOSITORY: tuple[tuple[str, FieldType], ...] = (
    ("id", "integer"),
    ("node_id", "string"),
    ("name", "string"),
    ("full_name", "string"),
    ("description", "text"),
    ("homepage", "url"),
    ("html_url", "url"),
    ("owner.login", "string"),
    ("private", "boolean"),
    ("visibility", "string"),
    ("fork", "boolean"),
    ("archived", "boolean"),
    ("language", "string"),
    ("topics", "list"),
    ("default_branch", "string"),
    ("open_issues_count", "integer"),
    ("stargazers_count", "integer"),
    ("forks_count", "integer"),
    ("created_at", "datetime"),
    ("updated_at", "datetime"),
    ("pushed_at", "datetime"),
)
_TARGET = FieldDescription("repository", "reference", label="owner/name; chosen when a record is created")
_ENUMS = {"state": _STATES, "state_reason": _REASONS}
_LENGTHS = {"title": _TITLE_LENGTH, "body": _BODY_LENGTH}
_REQUIRED = {ISSUE: {"title"}, PULL_REQUEST: {"title", "head", "base"}}


def descriptions() -> list[EntityDescription]:
    """All entities."""
    return [
        EntityDescription(ISSUE, "Issue", (*_fields(ISSUE, _SHARED + _ISSUE), _TARGET)),
        EntityDescription(
            PULL_REQUEST, "Pull request", (*_fields(PULL_REQUEST, _SHARED + _PULL_REQUEST), _TARGET)
        ),
        EntityDescription(
            REPOSITORY, "Repository", tuple(_fields(REPOSITORY, _REPOSITORY)), writable=False, deletable=False
        ),
    ]


def _fields(entity: str, named: tuple[tuple[str, FieldType], ...]) -> list[FieldDescription]:
    writable = {*CREATABLE.get(entity, ()), *UPDATABLE.get(entity, ())}
    return [
        FieldDescription(
            name,
            kind,
            required=name in _REQUIRED.get(entity, ()),
            writable=name in writable,
            values=_ENUMS.get(name, ()),
            max_length=_LENGTHS.get(name) if entity != REPOSITORY else None,
        )
        for name, kind in named
    ]
