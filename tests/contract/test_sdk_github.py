"""The sandboxed GitHub through PyGithub, a client written for the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import github as pygithub
import pytest
from github import Auth, BadCredentialsException, Github, GithubIntegration, UnknownObjectException

from tests.support.github import INSTALLATION, PlainGitHub, plain_github
from tests.support.keys import rsa_pair

pytestmark = [pytest.mark.stack, pytest.mark.sdk]

ENGINE = "octo-org/engine"


@pytest.fixture
async def sandbox(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PlainGitHub]:
    # A proxy in the environment has no business between a test and its own machine.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with plain_github() as found:
        yield found


async def use(sandbox: PlainGitHub, work: Callable[[Github], None], auth: Auth.Auth | None = None) -> None:
    token = Auth.Token((await sandbox.control.grant())["access_token"])

    def run() -> None:
        client = Github(
            auth=auth or token,
            base_url=sandbox.control.url,
            retry=None,
            per_page=100,
            seconds_between_requests=None,
            seconds_between_writes=None,
        )
        try:
            work(client)
        finally:
            client.close()

    await asyncio.to_thread(run)


async def test_reading(sandbox: PlainGitHub) -> None:
    await sandbox.control.seed(Repository=2, Issue=230, PullRequest=30)

    def work(client: Github) -> None:
        assert client.get_user().login == "octo-castiel"
        assert {repo.full_name for repo in client.get_user().get_repos()} == {ENGINE, "octo-org/website"}
        repository = client.get_repo(ENGINE)
        assert client.get_repo(repository.id).full_name == ENGINE
        assert {label.name for label in repository.get_labels()} >= {"bug", "question"}
        issues = list(repository.get_issues(state="all", sort="updated", direction="asc"))
        assert len(issues) == len({issue.number for issue in issues}) == 130
        assert [issue.updated_at for issue in issues] == sorted(issue.updated_at for issue in issues)
        pulls = [issue for issue in issues if issue.pull_request is not None]
        assert len(pulls) == 15
        since = issues[-1].updated_at
        assert [one.number for one in repository.get_issues(state="all", since=since)] == [issues[-1].number]
        later = since + timedelta(seconds=1)
        assert list(repository.get_issues(state="all", since=later)) == []
        pull = repository.get_pull(pulls[0].number)
        assert pull.base.ref == "main"
        assert pull.head.repo.id == repository.id
        assert {pull.number for pull in repository.get_pulls(state="all")} == {
            issue.number for issue in pulls
        }
        core = client.get_rate_limit().resources.core
        assert core.limit == 5000
        assert core.used == core.limit - core.remaining > 0

    await use(sandbox, work)


async def test_writing(sandbox: PlainGitHub) -> None:
    await sandbox.control.seed(Repository=1, Issue=1)
    person = (await sandbox.control.records("Issue"))[0]["user"]

    def work(client: Github) -> None:
        repository = client.get_repo(ENGINE)
        issue = repository.create_issue("Found a bug", body="As it says", labels=["bug"], assignees=[person])
        assert [label.name for label in issue.labels] == ["bug"]
        assert [assignee.login for assignee in issue.assignees] == [person]
        issue.edit(title="Found two", state="closed", state_reason="not_planned", labels=[])
        again = repository.get_issue(issue.number)
        assert (again.title, again.state, again.state_reason) == ("Found two", "closed", "not_planned")
        assert again.closed_by.login == "octo-castiel"
        pull = repository.create_pull(base="main", head="topic", title="Fix", body="Both")
        pull.edit(title="Fix both", state="closed")
        assert repository.get_pull(pull.number).title == "Fix both"
        assert repository.get_issue(pull.number).pull_request is not None

    await use(sandbox, work)


async def test_refusals_are_understood(sandbox: PlainGitHub) -> None:
    await sandbox.control.seed(Repository=1)

    def work(client: Github) -> None:
        with pytest.raises(UnknownObjectException):
            client.get_repo("octo-org/nowhere")
        with pytest.raises(pygithub.GithubException) as invalid:
            client.get_repo(ENGINE).create_issue("x", assignees=["nobody-at-all"])
        assert invalid.value.status == 422
        assert _errors(invalid.value)[0]["field"] == "assignees"

    await use(sandbox, work)

    def unknown(client: Github) -> None:
        with pytest.raises(BadCredentialsException):
            client.get_repo(ENGINE)

    await use(sandbox, unknown, Auth.Token("made-up"))
    await sandbox.control.policy(requests_used=5000)

    def spent(client: Github) -> None:
        with pytest.raises(pygithub.RateLimitExceededException):
            client.get_repo(ENGINE)

    await use(sandbox, spent)


async def test_a_renamed_repository_is_followed(sandbox: PlainGitHub) -> None:
    await sandbox.control.seed(Issue=2)
    await sandbox.control.edit("Repository", "1296269", name="motor")

    def work(client: Github) -> None:
        assert client.get_repo(ENGINE).full_name == "octo-org/motor"

    await use(sandbox, work)


async def test_an_app_makes_its_installations_tokens(sandbox: PlainGitHub) -> None:
    await sandbox.control.seed(Repository=2)
    private, public = rsa_pair()
    await sandbox.control.policy(clients={"castiel-app": {"secret": "", "publicKey": public}})
    auth = Auth.AppAuth("castiel-app", private)

    def run() -> str:
        integration = GithubIntegration(auth=auth, base_url=sandbox.control.url, retry=None)
        try:
            return integration.get_access_token(INSTALLATION).token
        finally:
            integration.close()

    token = await asyncio.to_thread(run)

    def work(client: Github) -> None:
        issue = client.get_repo(ENGINE).create_issue("From the app")
        assert issue.user.login == "castiel-sync[bot]"

    await use(sandbox, work, Auth.Token(token))


def _errors(error: pygithub.GithubException) -> list[dict[str, Any]]:
    assert isinstance(error.data, dict)
    return list(error.data["errors"])
