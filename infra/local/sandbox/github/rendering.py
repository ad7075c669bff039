"""GitHub's JSON, in the shape of its published examples.

Sources: https://docs.github.com/en/rest/issues/issues, …/rest/pulls/pulls, …/rest/repos/repos,
https://github.com/octokit/webhooks (payload-examples)
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]
HTML = "https://github.com"
_REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_REPOSITORY_LINKS = {
    "forks_url": "/forks",
    "hooks_url": "/hooks",
    "events_url": "/events",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "commits_url": "/commits{/sha}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "statuses_url": "/statuses/{sha}",
}


def moment(ms: int | None) -> str | None:
    """Whole seconds in UTC."""
    return None if ms is None else f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def node_id(kind: str, number: int) -> str:
    return f"{kind}_{base64.urlsafe_b64encode(number.to_bytes(8)).decode().rstrip('=')}"


def user(base: str, account: JsonObject) -> JsonObject:
    """The short form of an account, as it stands in other records."""
    login = account["login"]
    url = f"{base}/users/{login}"
    return {
        "login": login,
        "id": account["id"],
        "node_id": node_id("U", account["id"]),
        "avatar_url": f"https://avatars.githubusercontent.com/u/{account['id']}?v=4",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{HTML}/{login}",
        **{name: url + rest for name, rest in _USER_LINKS.items()},
        "type": account["type"],
        "user_view_type": "public",
        "site_admin": False,
    }


def repository(base: str, record: Record, owner: JsonObject, open_issues: int) -> JsonObject:
    """A repository as lists and single answers show it."""
    data = record.data
    full_name = f"{data['owner']}/{data['name']}"
    url, html = f"{base}/repos/{full_name}", f"{HTML}/{full_name}"
    number = int(record.id)
    return {
        "id": number,
        "node_id": node_id("R", number),
        "name": data["name"],
        "full_name": full_name,
        "private": data["private"],
        "owner": user(base, owner),
        "html_url": html,
        "description": data["description"],
        "fork": False,
        "url": url,
        **{name: url + rest for name, rest in _REPOSITORY_LINKS.items()},
        "created_at": moment(record.created_ms),
        "updated_at": moment(record.modified_ms),
        "pushed_at": moment(record.modified_ms),
        "git_url": f"git://github.com/{full_name}.git",
        "ssh_url": f"git@github.com:{full_name}.git",
        "clone_url": f"{html}.git",
        "svn_url": html,
        "homepage": data["homepage"],
        "size": 180,
        "stargazers_count": data["stars"],
        "watchers_count": data["stars"],
        "language": data["language"],
        "has_issues": data["hasIssues"],
        "has_projects": True,
        "has_downloads": True,
        "has_wiki": True,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": 0,
        "mirror_url": None,
        "archived": data["archived"],
        "disabled": False,
        "open_issues_count": open_issues,
        "license": None,
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": data["topics"],
        "visibility": "private" if data["private"] else "public",
        "forks": 0,
        "open_issues": open_issues,
        "watchers": data["stars"],
        "default_branch": data["defaultBranch"],
        "permissions": {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True},
    }


def label(url: str, found: JsonObject) -> JsonObject:
    return {
        "id": found["id"],
        "node_id": node_id("LA", found["id"]),
        "url": f"{url}/labels/{found['name']}",
        "name": found["name"],
        "color": found["color"],
        "default": found["default"],
        "description": found["description"],
    }


def milestone(url: str, found: JsonObject, creator: JsonObject) -> JsonObject:
    number = found["number"]
    return {
        "url": f"{url}/milestones/{number}",
        "html_url": f"{url}/milestone/{number}",
        "labels_url": f"{url}/milestones/{number}/labels",
        "id": found["id"],
        "node_id": node_id("MI", found["id"]),
        "number": number,
        "title": found["title"],
        "description": None,
        "creator": creator,
        "open_issues": 0,
        "closed_issues": 0,
        "state": "open",
        "created_at": moment(found["createdMs"]),
        "updated_at": moment(found["createdMs"]),
        "due_on": None,
        "closed_at": None,
    }


def reactions(url: str) -> JsonObject:
    return {"url": f"{url}/reactions", "total_count": 0, **dict.fromkeys(_REACTIONS, 0)}


def sha(text: str) -> str:
    """A commit's id, made up from what it is about."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
