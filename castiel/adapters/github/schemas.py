"""How GitHub's records become shards, where a connection names no schema of its own."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _direct(field: str, source: str, **more: Any) -> Json:
    return {"kind": "direct", "field": field, "source": source, **more}


def _inbound(field: str, source: str, **more: Any) -> Json:
    return _direct(field, source, direction="inbound", **more)


def _plucked(field: str, source: str, key: str, **more: Any) -> Json:
    # Sorted: GitHub gives labels and people in no order that means anything.
    transforms = [{"name": "pluck", "options": {"key": key}}, "sort"]
    return {"kind": "transform", "field": field, "source": source, "transforms": transforms, **more}


def _item() -> list[Json]:
    return [
        _direct("title", "title", required=True),
        _direct("description", "body"),
        _inbound("number", "number", type="integer"),
        _inbound("url", "html_url"),
        _inbound("author", "user.login"),
        _inbound("milestone", "milestone.title"),
        _inbound("createdAt", "created_at"),
        _inbound("closedAt", "closed_at"),
    ]


def _schema(entity: str, shard_type: str, label_field: str, mappings: list[Json]) -> Json:
    return {
        "id": f"github-{entity.lower()}",
        # Of no tenant: it is the same for all.
        "tenantId": "",
        "integrationId": "github",
        "entity": entity,
        "shardType": shard_type,
        "version": 1,
        "labelField": label_field,
        "mappings": mappings,
    }


_ISSUE_STATE: Json = _direct("state", "state", type="enum", values=["open", "closed"])
_PULL_STATE: Json = {
    "kind": "conditional",
    "field": "state",
    "external": "state",
    "cases": [
        {"when": "merged_at", "value": "merged"},
        {"when": "state == 'closed'", "value": "closed"},
    ],
    "otherwise": {"value": "open"},
    "outboundCases": [{"when": "state == 'open'", "value": "open"}],
    "outboundOtherwise": {"value": "closed"},
}

DEFAULT_SCHEMAS: tuple[Json, ...] = (
    _schema(
        "Issue",
        "issue",
        "title",
        [
            *_item(),
            _ISSUE_STATE,
            _inbound("stateReason", "state_reason"),
            _plucked("labels", "labels", "name"),
            _plucked("assignees", "assignees", "login"),
            _inbound("repository", "repository"),
        ],
    ),
    _schema(
        "PullRequest",
        "pullRequest",
        "title",
        [
            *_item(),
            _PULL_STATE,
            _plucked("labels", "labels", "name", direction="inbound"),
            _plucked("assignees", "assignees", "login", direction="inbound"),
            _inbound("draft", "draft", type="boolean"),
            _inbound("mergedAt", "merged_at"),
            _direct("sourceBranch", "head.ref", external="head"),
            _direct("targetBranch", "base.ref", external="base"),
            _inbound("repository", "repository"),
        ],
    ),
    _schema(
        "Repository",
        "repository",
        "name",
        [
            _inbound("name", "full_name", required=True),
            _inbound("description", "description"),
            _inbound("url", "html_url"),
            _inbound("website", "homepage"),
            _inbound("owner", "owner.login"),
            _inbound("private", "private", type="boolean"),
            _inbound("archived", "archived", type="boolean"),
            _inbound("language", "language"),
            _inbound("topics", "topics"),
            _inbound("defaultBranch", "default_branch"),
            _inbound("openIssues", "open_issues_count", type="integer"),
            _inbound("createdAt", "created_at"),
        ],
    ),
)
