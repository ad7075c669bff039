"""The REST endpoints: repositories, issues, pull requests, labels, the user, the quota."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from infra.local.sandbox.github import rendering
from infra.local.sandbox.github.api import Call, Gate, answer
from infra.local.sandbox.github.errors import ApiError, invalid, moved, not_found
from infra.local.sandbox.github.fields import issue_fields, pull_fields
from infra.local.sandbox.github.hooks import Hooks
from infra.local.sandbox.github.listing import ItemList, link_header, page_number, page_size
from infra.local.sandbox.github.showing import Showing
from infra.local.sandbox.github.tokens import USER, Tokens
from infra.local.sandbox.github.world import ISSUE, ITEMS, PULL_REQUEST, World
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]
_Handler = Callable[[Call, Record], Awaitable[web.Response]]


class Endpoints:
    """What a token may call."""

    def __init__(self, world: World, tokens: Tokens, gate: Gate) -> None:
        self._world = world
        self._showing = Showing(world)
        self._tokens = tokens
        self._gate = gate
        self._hooks = Hooks(world.store)

    def routes(self) -> list[web.RouteDef]:
        gate = self._gate
        return [
            web.get("/rate_limit", self._rate_limit),
            gate.route("GET", "/user", self._user),
            gate.route("GET", "/users/{login}", self._account),
            gate.route("GET", "/user/repos", self._repositories),
            gate.route("GET", "/users/{login}/repos", self._repositories),
            gate.route("GET", "/orgs/{login}/repos", self._repositories),
            gate.route("GET", "/installation/repositories", self._installation_repositories),
            *self._of_repository("GET", "", self._repository),
            *self._of_repository("GET", "/issues", self._issues),
            *self._of_repository("POST", "/issues", self._create_issue),
            *self._of_repository("GET", "/issues/{number:\\d+}", self._issue),
            *self._of_repository("PATCH", "/issues/{number:\\d+}", self._edit_issue),
            *self._of_repository("GET", "/pulls", self._pulls),
            *self._of_repository("POST", "/pulls", self._create_pull),
            *self._of_repository("GET", "/pulls/{number:\\d+}", self._pull),
            *self._of_repository("PATCH", "/pulls/{number:\\d+}", self._edit_pull),
            *self._of_repository("GET", "/labels", self._labels),
            *self._of_repository("POST", "/hooks", self._hooks.create),
            *self._of_repository("PATCH", "/hooks/{hook:\\d+}/config", self._hooks.configure),
            *self._of_repository("DELETE", "/hooks/{hook:\\d+}", self._hooks.delete),
            *[
                gate.route(method, "/{tail:.*}", self._nothing)
                for method in ("GET", "POST", "PATCH", "DELETE")
            ],
        ]

    def _of_repository(self, method: str, path: str, handler: _Handler) -> list[web.RouteDef]:
        """By name and by number. A former name redirects to the number."""

        async def by_name(call: Call) -> web.Response:
            match = call.request.match_info
            found = self._world.repository_named(match["owner"], match["name"])
            if found is None:
                former = self._world.former(match["owner"], match["name"])
                if former is None:
                    raise not_found()
                rest = call.request.path_qs.split(f"/{match['name']}", 1)[1]
                status = 301 if method == "GET" else 307
                raise moved(status, f"{call.base}/repositories/{former}{rest}")
            return await handler(call, found)

        async def by_number(call: Call) -> web.Response:
            return await handler(call, self._world.repository(call.request.match_info["id"]))

        return [
            self._gate.route(method, f"/repos/{{owner}}/{{name}}{path}", by_name),
            self._gate.route(method, f"/repositories/{{id:\\d+}}{path}", by_number),
        ]

    # Accounts and repositories ---------------------------------------------------------------------------

    async def _rate_limit(self, _request: web.Request) -> web.Response:
        """Open to all, and free. Answers also whoever has no token."""
        quota = self._gate.quota()
        core = {
            name: int(quota[f"X-RateLimit-{name.title()}"])
            for name in ("limit", "used", "remaining", "reset")
        }
        return answer({"resources": {"core": core}, "rate": core})

    async def _user(self, call: Call) -> web.Response:
        if call.session["kind"] == "installation":
            raise ApiError(403, "Resource not accessible by integration")
        account = self._showing.user(call.base, USER) or {}
        return answer(account | {"name": "Octo Castiel", "company": None, "email": None, "public_repos": 2})

    async def _account(self, call: Call) -> web.Response:
        login = call.request.match_info["login"]
        if self._world.account(login) is None:
            raise not_found()
        return answer(self._showing.user(call.base, login))

    async def _repositories(self, call: Call) -> web.Response:
        if call.session["kind"] == "installation" and call.request.path.endswith("/user/repos"):
            raise ApiError(403, "Resource not accessible by integration")
        owner = call.request.match_info.get("login", "").lower()
        page, links = self._repository_page(call, owner)
        return answer(page, headers=links)

    async def _installation_repositories(self, call: Call) -> web.Response:
        if call.session["kind"] != "installation":
            raise ApiError(
                403,
                "You must authenticate with an installation access token in order to list repositories for an installation.",
            )
        page, links = self._repository_page(call, "")
        return answer({"total_count": len(self._world.repositories()), "repositories": page}, headers=links)

    def _repository_page(self, call: Call, owner: str) -> tuple[list[JsonObject], dict[str, str]]:
        query = call.request.query
        found = [one for one in self._world.repositories() if owner in ("", one.data["owner"].lower())]
        size, number = page_size(query), page_number(query)
        start = (number - 1) * size
        page = [self._showing.repository(call.base, one) for one in found[start : start + size]]
        more = len(found) > start + size
        return page, {"Link": link_header(_here(call), query)} if more else {}

    async def _repository(self, call: Call, repository: Record) -> web.Response:
        return answer(self._showing.repository(call.base, repository))

    async def _labels(self, call: Call, repository: Record) -> web.Response:
        url = f"{call.base}/repos/{repository.data['owner']}/{repository.data['name']}"
        return answer([rendering.label(url, one) for one in self._world.labels(repository.id)])

    # Issues ----------------------------------------------------------------------------------------------

    async def _issues(self, call: Call, repository: Record) -> web.Response:
        if not repository.data["hasIssues"]:
            raise ApiError(410, "Issues are disabled for this repo")
        return self._items(call, repository, ITEMS, "issues")

    async def _issue(self, call: Call, repository: Record) -> web.Response:
        entity, record = self._world.item_of_either(repository.id, _number(call))
        self._follow(call, record)
        return self._show_issue(call, entity, record)

    async def _create_issue(self, call: Call, repository: Record) -> web.Response:
        _check_open(repository)
        fields = await issue_fields(call, self._world, repository.id, creating=True)
        record = self._world.create_item(ISSUE, repository.id, fields, call.login, call.origin)
        response = self._show_issue(call, ISSUE, record, 201)
        response.headers["Location"] = f"{_repository_url(call, repository)}/issues/{record.data['number']}"
        return response

    async def _edit_issue(self, call: Call, repository: Record) -> web.Response:
        _check_open(repository)
        entity, record = self._world.item_of_either(repository.id, _number(call))
        self._follow(call, record)
        fields = await issue_fields(call, self._world, repository.id, creating=False)
        edited = self._world.edit_item(entity, record, fields, call.login, call.origin)
        return self._show_issue(call, entity, edited)

    def _show_issue(self, call: Call, entity: str, record: Record, status: int = 200) -> web.Response:
        return answer(_versioned(call, self._showing.issue(call.base, entity, record)), status)

    def _follow(self, call: Call, record: Record) -> None:
        target = record.data.get("movedTo")
        if target is not None:
            repository, _, number = target.partition("-")
            status = 301 if call.request.method == "GET" else 307
            raise moved(status, f"{call.base}/repositories/{repository}/issues/{number}")

    # Pull requests ---------------------------------------------------------------------------------------

    async def _pulls(self, call: Call, repository: Record) -> web.Response:
        return self._items(call, repository, (PULL_REQUEST,), "pulls")

    async def _pull(self, call: Call, repository: Record) -> web.Response:
        record = self._world.item(PULL_REQUEST, repository.id, _number(call))
        return self._show_pull(call, record)

    async def _create_pull(self, call: Call, repository: Record) -> web.Response:
        _check_open(repository)
        fields = await pull_fields(call, creating=True)
        for _, other in ItemList(
            self._world.store, repository.id, (PULL_REQUEST,), {"per_page": "100"}
        ).page()[0]:
            if (other.data["head"], other.data["base"]) == (fields["head"], fields["base"]):
                text = f"A pull request already exists for {repository.data['owner']}:{fields['head']}."
                error = invalid("PullRequest", "head", "custom", message=text)
                raise error
        record = self._world.create_item(PULL_REQUEST, repository.id, fields, call.login, call.origin)
        return self._show_pull(call, record, 201)

    async def _edit_pull(self, call: Call, repository: Record) -> web.Response:
        _check_open(repository)
        record = self._world.item(PULL_REQUEST, repository.id, _number(call))
        fields = await pull_fields(call, creating=False)
        return self._show_pull(
            call, self._world.edit_item(PULL_REQUEST, record, fields, call.login, call.origin)
        )

    def _show_pull(self, call: Call, record: Record, status: int = 200) -> web.Response:
        return answer(_versioned(call, self._showing.pull(call.base, record, whole=True)), status)

    # -----------------------------------------------------------------------------------------------------

    def _items(self, call: Call, repository: Record, entities: tuple[str, ...], kind: str) -> web.Response:
        query = dict(call.request.query)
        if self._tokens.policy()["linkStyle"] == "page":
            query.pop("after", None)
        if kind == "pulls":
            # This list has no `since`.
            query.pop("since", None)
        found, after = ItemList(self._world.store, repository.id, entities, query).page()
        links = {}
        if after is not None:
            cursor = after if self._tokens.policy()["linkStyle"] == "cursor" else None
            url = f"{call.base}/repositories/{repository.id}/{kind}"
            links["Link"] = link_header(url, query, after=cursor)
        page = [
            self._showing.issue(call.base, entity, record)
            if kind == "issues"
            else self._showing.pull(call.base, record, whole=False)
            for entity, record in found
        ]
        return answer([_versioned(call, one) for one in page], headers=links)

    async def _nothing(self, _call: Call) -> web.Response:
        raise not_found()


def _versioned(call: Call, shown: JsonObject) -> JsonObject:
    """What a later API version leaves out (https://docs.github.com/en/rest/about-the-rest-api/breaking-changes)."""
    if call.request.headers.get("X-GitHub-Api-Version") == "2026-03-10":
        shown.pop("assignee", None)
        shown.pop("merge_commit_sha", None)
    return shown


def _check_open(repository: Record) -> None:
    if repository.data["archived"]:
        raise ApiError(403, "Repository was archived so is read-only.")


def _number(call: Call) -> int:
    return int(call.request.match_info["number"])


def _here(call: Call) -> str:
    return f"{call.request.scheme}://{call.request.host}{call.request.path}"


def _repository_url(call: Call, repository: Record) -> str:
    return f"{call.base}/repos/{repository.data['owner']}/{repository.data['name']}"
