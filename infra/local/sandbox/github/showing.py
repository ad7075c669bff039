"""Records of the world as the API shows them, each with what it points to."""

from __future__ import annotations

from typing import Any

from infra.local.sandbox.github import rendering
from infra.local.sandbox.github.tokens import USER
from infra.local.sandbox.github.world import PULL_REQUEST, World
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]


class Showing:
    """``base`` is the API's address as the caller sees it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def user(self, base: str, login: str | None) -> JsonObject | None:
        account = self._world.account(login, make=True) if login else None
        return rendering.user(base, account) if account else None

    def repository(self, base: str, record: Record) -> JsonObject:
        owner = self._world.account(record.data["owner"], "Organization", make=True) or {}
        count = self._world.open_items(record.id)
        return rendering.repository(base, record, owner, count)

    def issue(self, base: str, entity: str, record: Record) -> JsonObject:
        """As the issue endpoints show it: pull requests too, marked as such."""
        shown = self._shared(base, record, "issues")
        data, repo = record.data, shown.pop("_repo")
        url = shown["url"]
        shown |= {
            "repository_url": repo,
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "timeline_url": f"{url}/timeline",
            "comments": data["comments"],
            "closed_by": self.user(base, data["closedBy"]),
            "reactions": rendering.reactions(url),
            "performed_via_github_app": _app(data["app"]),
            "state_reason": data["stateReason"],
        }
        if entity == PULL_REQUEST:
            pull = f"{repo}/pulls/{data['number']}"
            html = shown["html_url"].replace("/issues/", "/pull/")
            shown |= {
                "html_url": html,
                "draft": data["draft"],
                "pull_request": {
                    "url": pull,
                    "html_url": html,
                    "diff_url": f"{html}.diff",
                    "patch_url": f"{html}.patch",
                    "merged_at": rendering.moment(data["mergedMs"]),
                },
            }
        return shown

    def pull(self, base: str, record: Record, *, whole: bool) -> JsonObject:
        """As the pull request endpoints show it; ``whole`` adds what lists leave out."""
        shown = self._shared(base, record, "pulls")
        data, url = record.data, shown.pop("_repo")
        html = shown["html_url"].replace("/pulls/", "/pull/")
        repository = self._world.repository(data["repo"])
        repo, owner = self.repository(base, repository), repository.data["owner"]

        def branch(ref: str) -> JsonObject:
            return {
                "label": f"{owner}:{ref}",
                "ref": ref,
                "sha": rendering.sha(f"{record.id}{ref}"),
                "user": self.user(base, owner),
                "repo": repo,
            }

        shown |= {
            "html_url": html,
            "id": data["id"] + 1,
            "diff_url": f"{html}.diff",
            "patch_url": f"{html}.patch",
            "issue_url": f"{url}/issues/{data['number']}",
            "commits_url": f"{shown['url']}/commits",
            "review_comments_url": f"{shown['url']}/comments",
            "comments_url": f"{url}/issues/{data['number']}/comments",
            "statuses_url": f"{url}/statuses/{rendering.sha(record.id)}",
            "merged_at": rendering.moment(data["mergedMs"]),
            "merge_commit_sha": rendering.sha(f"{record.id}merge"),
            "requested_reviewers": [],
            "requested_teams": [],
            "head": branch(data["head"]),
            "base": branch(data["base"]),
            "auto_merge": None,
            "draft": data["draft"],
        }
        if whole:
            shown |= {
                "merged": data["mergedMs"] is not None,
                "mergeable": None,
                "rebaseable": None,
                "mergeable_state": "unknown",
                "merged_by": None,
                "comments": data["comments"],
                "review_comments": 0,
                "maintainer_can_modify": False,
                "commits": 1,
                "additions": 1,
                "deletions": 0,
                "changed_files": 1,
            }
        return shown

    def _shared(self, base: str, record: Record, kind: str) -> JsonObject:
        data = record.data
        repository = self._world.repository(data["repo"])
        full_name = f"{repository.data['owner']}/{repository.data['name']}"
        repo = f"{base}/repos/{full_name}"
        people = [self.user(base, login) for login in data["assignees"]]
        found = self._world.milestone(data["repo"], data["milestone"]) if data["milestone"] else None
        creator = self.user(base, USER) or {}
        return {
            "_repo": repo,
            "url": f"{repo}/{kind}/{data['number']}",
            "html_url": f"{rendering.HTML}/{full_name}/{kind}/{data['number']}",
            "id": data["id"],
            "node_id": rendering.node_id("I" if kind == "issues" else "PR", data["id"]),
            "number": data["number"],
            "title": data["title"],
            "user": self.user(base, data["user"]),
            "labels": [
                rendering.label(repo, self._world.label(data["repo"], name)) for name in data["labels"]
            ],
            "state": data["state"],
            "locked": data["locked"],
            "assignee": people[0] if people else None,
            "assignees": people,
            "milestone": rendering.milestone(repo, found, creator) if found else None,
            "created_at": rendering.moment(record.created_ms),
            "updated_at": rendering.moment(record.modified_ms),
            "closed_at": rendering.moment(data["closedMs"]),
            "author_association": "MEMBER",
            "active_lock_reason": None,
            "body": data["body"],
        }


def _app(slug: str | None) -> JsonObject | None:
    if slug is None:
        return None
    return {"id": 29310, "slug": slug, "node_id": "A_29310", "name": "Castiel Sync"}
