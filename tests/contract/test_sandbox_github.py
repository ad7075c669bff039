"""The sandboxed GitHub through plain HTTP: what its documentation says of headers, paging, errors and redirects."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from aiohttp import web

from castiel.domain.signatures import PRESETS, verify
from infra.local.sandbox.app import SandboxServer
from infra.local.sandbox.client import SandboxControl
from tests.support.github import PlainGitHub, plain_github

pytestmark = pytest.mark.stack

ISSUES = "/repos/octo-org/engine/issues"


@pytest.fixture
async def github() -> AsyncIterator[PlainGitHub]:
    async with plain_github() as found:
        yield found


async def refusal(
    github: PlainGitHub, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, str]:
    answer = await github.ask(method, path, body, **headers)
    assert "documentation_url" in answer.json()
    return answer.status_code, answer.json()["message"]


async def test_calls_are_refused_for_their_headers(github: PlainGitHub) -> None:
    await github.control.seed(Issue=1)
    assert await refusal(github, "GET", ISSUES, Authorization="") == (401, "Requires authentication")
    assert await refusal(github, "GET", ISSUES, Authorization="Bearer x") == (401, "Bad credentials")
    assert (await refusal(github, "GET", ISSUES, User_Agent=""))[0] == 403
    assert (await refusal(github, "GET", ISSUES, X_GitHub_Api_Version="2020-01-01"))[0] == 400
    assert (await refusal(github, "GET", ISSUES, Accept="text/html"))[0] == 415
    assert await refusal(github, "GET", "/no/such/thing") == (404, "Not Found")
    answer = await github.ask("GET", ISSUES, X_GitHub_Api_Version="2026-03-10")
    assert answer.headers["X-GitHub-Api-Version-Selected"] == "2026-03-10"
    assert "assignee" not in answer.json()[0]
    assert "assignee" in (await github.ask("GET", ISSUES)).json()[0]


async def test_pages_are_linked_by_the_repositorys_number(github: PlainGitHub) -> None:
    await github.control.seed(Issue=250)
    seen: list[int] = []
    url: str | None = f"{ISSUES}?state=all&sort=updated&direction=asc&per_page=500"
    while url:
        answer = await github.ask("GET", url)
        seen += [issue["number"] for issue in answer.json()]
        url = answer.links.get("next", {}).get("url")
        assert url is None or "/repositories/1296269/issues?" in url
    assert len(seen) == len(set(seen)) == 250
    assert len((await github.ask("GET", ISSUES)).json()) == 30


async def test_lists_hold_pull_requests_and_filter(github: PlainGitHub) -> None:
    await github.control.seed(Issue=20, PullRequest=20)
    listed = (await github.ask("GET", f"{ISSUES}?state=all&per_page=100")).json()
    assert sum("pull_request" in issue for issue in listed) == 20
    closed = (await github.ask("GET", f"{ISSUES}?state=closed&per_page=100")).json()
    assert {issue["state"] for issue in closed} == {"closed"}
    newest = max(issue["updated_at"] for issue in listed)
    since = (await github.ask("GET", f"{ISSUES}?state=all&since={newest}")).json()
    assert [issue["updated_at"] for issue in since] == [newest]
    assert (await refusal(github, "GET", f"{ISSUES}?since=yesterday"))[0] == 422
    pulls = (await github.ask("GET", "/repos/octo-org/engine/pulls?state=all&per_page=100")).json()
    assert len(pulls) == 20
    assert "mergeable" not in pulls[0]


async def test_what_has_not_changed_is_not_sent_and_not_counted(github: PlainGitHub) -> None:
    await github.control.seed(Issue=1)
    first = await github.ask("GET", ISSUES)
    again = await github.ask("GET", ISSUES, If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    after = await github.ask("GET", ISSUES)
    left = [int(answer.headers["X-RateLimit-Remaining"]) for answer in (first, again, after)]
    assert left == [4999, 4998 + 1, 4998]
    await github.control.edit("Issue", "1296269-1", title="Other")
    assert (await github.ask("GET", ISSUES, If_None_Match=first.headers["ETag"])).status_code == 200


async def test_validation(github: PlainGitHub) -> None:
    await github.control.seed(Repository=1)
    for body, field, code in (
        ({"title": "  "}, "title", "missing_field"),
        ({"title": "x" * 257}, "title", "custom"),
        ({"title": "x", "body": "y" * 65_537}, "body", "custom"),
        ({"title": "x", "assignees": ["nobody"]}, "assignees", "invalid"),
        ({"title": "x", "milestone": 99}, "milestone", "invalid"),
    ):
        answer = await github.ask("POST", ISSUES, body)
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert (error["resource"], error["field"], error["code"]) == ("Issue", field, code)
    for wrong in ({}, {"title": None}, {"title": "x", "state": "closed"}, {"title": "x", "labels": "bug"}):
        answer = await github.ask("POST", ISSUES, wrong)
        assert answer.status_code == 422
        assert answer.json()["message"].startswith("Invalid request.")
    assert await github.control.records("Issue") == []


async def test_writing_an_issue(github: PlainGitHub) -> None:
    await github.control.seed(Repository=1)
    made = await github.ask(
        "POST", ISSUES, {"title": "Found a bug", "body": "", "labels": ["bug", {"name": "odd"}]}
    )
    assert made.status_code == 201
    assert made.headers["Location"].endswith("/issues/1")
    issue = made.json()
    assert (issue["body"], issue["state_reason"], issue["user"]["login"]) == (None, None, "octo-castiel")
    closed = (await github.ask("PATCH", f"{ISSUES}/1", {"state": "closed"})).json()
    assert (closed["state_reason"], closed["closed_by"]["login"]) == ("completed", "octo-castiel")
    opened = (await github.ask("PATCH", f"{ISSUES}/1", {"state": "open"})).json()
    assert (opened["state_reason"], opened["closed_at"]) == ("reopened", None)
    await github.control.set_clock(advance_ms=5000)
    same = (await github.ask("PATCH", f"{ISSUES}/1", {"title": "Found a bug"})).json()
    assert same["updated_at"] == opened["updated_at"]


async def test_what_moved_redirects_and_what_is_gone_is_gone(github: PlainGitHub) -> None:
    await github.control.seed(Repository=2, Issue=4)
    await github.control.edit("Repository", "1296269", name="motor")
    moved = await github.ask("GET", f"{ISSUES}?state=all")
    assert (moved.status_code, moved.json()["message"]) == (301, "Moved Permanently")
    assert moved.headers["Location"].endswith("/github/repositories/1296269/issues?state=all")
    written = await github.ask("POST", ISSUES, {"title": "x"})
    assert (written.status_code, written.headers["Location"].split("/github")[1]) == (
        307,
        "/repositories/1296269/issues",
    )
    await github.control.edit("Issue", "1296269-1", transferTo="octo-org/website")
    sent_on = await github.ask("GET", "/repositories/1296269/issues/1")
    assert sent_on.status_code == 301
    assert (await github.ask("GET", sent_on.headers["Location"])).status_code == 200
    await github.control.delete("Issue", "1296269-2")
    assert await refusal(github, "GET", "/repositories/1296269/issues/2") == (410, "This issue was deleted")
    assert (await refusal(github, "GET", "/repositories/1296269/issues/99"))[0] == 404


async def test_limits(github: PlainGitHub) -> None:
    await github.control.seed(Repository=1)
    await github.control.policy(content_per_minute=1)
    await github.ask("POST", ISSUES, {"title": "one"})
    secondary = await github.ask("POST", ISSUES, {"title": "two"})
    assert secondary.status_code == 403
    assert "secondary rate limit" in secondary.json()["message"]
    assert 0 < int(secondary.headers["Retry-After"]) <= 60
    await github.control.policy(requests_used=5000)
    primary = await github.ask("GET", ISSUES)
    assert (primary.status_code, primary.headers["X-RateLimit-Remaining"]) == (403, "0")
    free = await github.ask("GET", "/rate_limit")
    assert free.json()["resources"]["core"]["remaining"] == 0
    await github.control.set_clock(advance_ms=3_601_000)
    await github.control.policy(requests_used=0)
    assert (await github.ask("GET", ISSUES)).status_code == 200


async def test_a_refresh_token_is_used_once_and_ends_the_old_pair(github: PlainGitHub) -> None:
    first = await github.control.grant()
    second = await github.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (second["expires_in"], second["token_type"]) == (28_800, "bearer")
    again = await github.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert again["error"] == "bad_refresh_token"
    old = await github.ask("GET", "/user", Authorization=f"Bearer {first['access_token']}")
    assert old.status_code == 401
    new = await github.ask("GET", "/user", Authorization=f"token {second['access_token']}")
    assert new.json()["login"] == "octo-castiel"
    wrong = await github.token(grant_type="refresh_token", client_secret="other")
    assert wrong["error"] == "incorrect_client_credentials"
    await github.control.set_clock(advance_ms=28_800_000)
    late = await github.ask("GET", "/user", Authorization=f"token {second['access_token']}")
    assert late.status_code == 401


@pytest.mark.parametrize("form", [False, True])
async def test_events_are_signed_as_github_signs_them(github: PlainGitHub, form: bool) -> None:
    await github.control.seed(Issue=1)
    taken: list[tuple[dict[str, str], bytes]] = []

    async def take(request: web.Request) -> web.Response:
        taken.append(({k.lower(): v for k, v in request.headers.items()}, await request.read()))
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        sent = await github.control.send_event(
            url, entity="Issue", id="1296269-1", changes={"title": "Old"}, secret="shared words", form=form
        )
        await site.stop()
    finally:
        await runner.cleanup()
    assert sent["status"] == 200
    [(headers, body)] = taken
    verify(PRESETS["github"], headers=headers, body=body, secrets=[b"shared words"], now=datetime.now(UTC))
    assert headers["x-github-event"] == "issues"
    if not form:
        payload = json.loads(body)
        assert (payload["action"], payload["changes"]) == ("edited", {"title": {"from": "Old"}})
        assert payload["issue"]["url"] == "https://api.github.com/repos/octo-org/engine/issues/1"


async def test_records_and_tokens_survive_a_restart(tmp_path: Any) -> None:
    async with SandboxServer(tmp_path) as server, SandboxControl(server.url, "github") as control:
        await control.seed(Issue=3)
        token = (await control.grant())["access_token"]
    async with SandboxServer(tmp_path) as server, httpx.AsyncClient(trust_env=False) as http:
        answer = await http.get(
            f"{server.url}/github/repositories/1296269/issues?state=all",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert len(answer.json()) == 3
