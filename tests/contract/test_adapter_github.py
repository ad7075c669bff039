"""The GitHub adapter over real HTTP against the sandboxed GitHub."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from castiel.adapters.base import Adapter, PushRecord
from castiel.adapters.github import PROVIDER
from castiel.domain.messages import Operation
from castiel.errors import (
    AuthenticationFailed,
    ConfigurationError,
    CursorExpired,
    OutcomeUnknown,
    PermissionDenied,
    ProviderRateLimited,
    ProviderRejected,
    ProviderUnavailable,
    RecordNotFound,
    SchemaMismatch,
)
from tests.support.github import crowded_github
from tests.support.providers import (
    OpenGate,
    ProviderSandbox,
    StaticAuthorizer,
    adapter_for,
    pages_of,
    records_of,
    running_sandbox,
)

pytestmark = pytest.mark.stack

ENGINE, WEBSITE = "octo-org/engine", "octo-org/website"


@pytest.fixture
async def github() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("github") as sandbox:
        yield sandbox


async def connect(github: ProviderSandbox, gate: OpenGate | None = None, **settings: Any) -> Adapter:
    token = (await github.control.grant())["access_token"]
    settings = {"repositories": [ENGINE], "mutationIntervalSeconds": 0} | settings
    return adapter_for(PROVIDER, github, StaticAuthorizer(token), gate=gate, **settings)


def create(key: str, retrying: bool = False, **fields: Any) -> PushRecord:
    return PushRecord(key, Operation.CREATE, {"title": f"Issue {key}", **fields}, retrying=retrying)


def update(external_id: str, **fields: Any) -> PushRecord:
    return PushRecord("key", Operation.UPDATE, fields, external_id)


# Fetch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link_style", ["cursor", "page"])
async def test_a_first_pass_shows_every_record_once(github: ProviderSandbox, link_style: str) -> None:
    await github.control.policy(link_style=link_style)
    await github.control.seed(Repository=2, Issue=230, PullRequest=120)
    adapter = await connect(github, repositories=[ENGINE, WEBSITE])
    for entity, count in (("Issue", 230), ("PullRequest", 120), ("Repository", 2)):
        pages = await pages_of(adapter, entity)
        ids = [record.external_id for record in records_of(pages)]
        assert sorted(ids) == sorted(r["id"] for r in await github.control.records(entity))
        assert len(ids) == len(set(ids)) == count
        assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
        assert all(page.full_pass for page in pages)


async def test_issues_come_oldest_change_first_and_without_pull_requests(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=120, PullRequest=40)
    records = records_of(await pages_of(await connect(github), "Issue"))
    moments = [record.modified_at for record in records]
    assert moments == sorted(moments, key=str)
    assert not any("pull_request" in record.fields for record in records)
    assert records[0].fields["repository"] == ENGINE


async def test_later_passes_show_only_what_changed(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=30, PullRequest=20)
    adapter = await connect(github)
    for entity in ("Issue", "PullRequest"):
        cursor = (await pages_of(adapter, entity))[-1].cursor
        pages = await pages_of(adapter, entity, cursor)
        assert records_of(pages) == []
        assert not pages[-1].full_pass
        some = (await github.control.records(entity))[3]["id"]
        await github.control.edit(entity, some, title="Edited")
        [record] = records_of(pages := await pages_of(adapter, entity, pages[-1].cursor))
        assert (record.external_id, record.fields["title"]) == (some, "Edited")
        assert records_of(await pages_of(adapter, entity, pages[-1].cursor)) == []


async def test_an_idle_pass_costs_no_quota(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=10, PullRequest=10)
    adapter = await connect(github)
    for entity in ("Issue", "PullRequest"):
        cursor = (await pages_of(adapter, entity))[-1].cursor
        cursor = (await pages_of(adapter, entity, cursor))[-1].cursor
        await github.control.clear_calls()
        used = (await adapter.check()).quota_used
        await pages_of(adapter, entity, cursor)
        assert [call["status"] for call in await github.control.calls(path="issues|pulls")] == [304]
        # The two health checks themselves cost a call each.
        assert (await adapter.check()).quota_used == pytest.approx((used or 0) + 1 / 5000)


async def test_a_second_edit_in_the_same_second_is_not_lost(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=3)
    adapter = await connect(github)
    cursor = (await pages_of(adapter, "Issue"))[-1].cursor
    some = (await github.control.records("Issue"))[0]["id"]
    seen = []
    for title in ("first", "second", "third"):
        await github.control.edit("Issue", some, title=title)
        pages = await pages_of(adapter, "Issue", cursor)
        seen += [record.fields["title"] for record in records_of(pages)]
        cursor = pages[-1].cursor
    assert seen == ["first", "second", "third"]


@pytest.mark.parametrize("link_style", ["cursor", "page"])
async def test_more_issues_than_a_page_in_one_second(link_style: str) -> None:
    async with crowded_github(250) as github:
        await github.control.policy(link_style=link_style)
        adapter = await connect(github)
        ids = [record["id"] for record in await github.control.records("Issue")]
        pages = await pages_of(adapter, "Issue")
        shown = [record.external_id for record in records_of(pages)]
        assert sorted(shown) == sorted(ids)
        assert records_of(await pages_of(adapter, "Issue", pages[-1].cursor)) == []
        for page in pages:
            rest = records_of(await pages_of(adapter, "Issue", page.cursor))
            before = pages[: pages.index(page) + 1]
            assert sorted(record.external_id for record in [*records_of(before), *rest]) == sorted(ids)


async def test_a_crowded_second_that_loses_records_while_it_is_read() -> None:
    async with crowded_github(250) as github:
        await github.control.policy(link_style="page")
        adapter = await connect(github)
        ids = [record["id"] for record in await github.control.records("Issue")]
        shown: list[str] = []
        moved: set[str] = set()
        async for page in adapter.fetch("Issue", None):
            shown += [record.external_id for record in page.records]
            for touched in [one for one in shown if one not in moved][:5]:
                # Out of the second, into the present: all behind it slip one place forward.
                if len(moved) < 20:
                    await github.control.edit("Issue", touched, title="Touched")
                    moved.add(touched)
        assert set(shown) == set(ids)


async def test_records_edited_during_a_pass_are_not_lost(github: ProviderSandbox) -> None:
    await github.control.policy(link_style="page")
    await github.control.seed(Issue=350)
    adapter = await connect(github)
    ids = [record["id"] for record in await github.control.records("Issue")]
    shown: list[str] = []
    cursor: dict[str, Any] = {}
    async for page in adapter.fetch("Issue", None):
        shown += [record.external_id for record in page.records]
        cursor = page.cursor
        for position in range(max(0, len(shown) - 2), min(len(shown), len(ids))):
            # Moves to the end of the list, and everything behind it one place forward.
            await github.control.edit("Issue", ids[position], body=f"edit at {len(shown)}")
    shown += [record.external_id for record in records_of(await pages_of(adapter, "Issue", cursor))]
    assert set(shown) == set(ids)


async def test_a_later_pass_over_pull_requests_reads_no_more_than_it_needs(github: ProviderSandbox) -> None:
    await github.control.seed(PullRequest=250)
    adapter = await connect(github)
    cursor = (await pages_of(adapter, "PullRequest"))[-1].cursor
    some = [record["id"] for record in await github.control.records("PullRequest")][::100]
    for record_id in some:
        await github.control.edit("PullRequest", record_id, title="Edited")
    await github.control.clear_calls()
    shown = records_of(await pages_of(adapter, "PullRequest", cursor))
    assert {record.external_id for record in shown} == set(some)
    assert len(await github.control.calls(path="/pulls")) == 1


async def test_pull_requests_edited_during_a_later_pass_are_not_lost(github: ProviderSandbox) -> None:
    await github.control.policy(link_style="page")
    await github.control.seed(PullRequest=250)
    adapter = await connect(github)
    cursor = (await pages_of(adapter, "PullRequest"))[-1].cursor
    await github.control.set_clock(advance_ms=120_000)
    ids = [record["id"] for record in await github.control.records("PullRequest")]
    for record_id in ids:
        await github.control.edit("PullRequest", record_id, title=f"Renamed {record_id}")
    await github.control.set_clock(advance_ms=60_000)
    shown: list[str] = []
    async for page in adapter.fetch("PullRequest", cursor):
        shown += [record.external_id for record in page.records]
        cursor = page.cursor
        await github.control.edit("PullRequest", ids[10], title=f"Moved at {len(shown)}")
    shown += [record.external_id for record in records_of(await pages_of(adapter, "PullRequest", cursor))]
    assert set(shown) == set(ids)


@pytest.mark.parametrize("entity", ["Issue", "PullRequest"])
async def test_a_pass_goes_on_from_any_page(github: ProviderSandbox, entity: str) -> None:
    await github.control.seed(Repository=2, **{entity: 420})
    adapter = await connect(github, repositories=[ENGINE, WEBSITE])
    pages = await pages_of(adapter, entity)
    for stop in range(len(pages) - 1):
        before = records_of(pages[: stop + 1])
        rest = await pages_of(adapter, entity, pages[stop].cursor)
        assert rest[-1].full_pass
        ids = [record.external_id for record in [*before, *records_of(rest)]]
        assert len(ids) == len(set(ids)) == 420


async def test_a_renamed_repository_stays_the_same(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=5)
    adapter = await connect(github)
    pages = await pages_of(adapter, "Issue")
    repository = (await github.control.records("Repository"))[0]["id"]
    await github.control.edit("Repository", repository, name="motor", owner="other-org")
    first = records_of(pages)[0].external_id
    await github.control.edit("Issue", first, title="After the move")
    found = {r.external_id: r for r in records_of(await pages_of(adapter, "Issue", pages[-1].cursor))}
    assert found[first].fields["repository"] == "other-org/motor"
    # And a connection made with the old name finds it, too.
    assert len(records_of(await pages_of(await connect(github), "Issue"))) == 5


async def test_a_repository_that_is_not_there_fails_the_pass_after_the_others(
    github: ProviderSandbox,
) -> None:
    await github.control.seed(Issue=5)
    adapter = await connect(github, repositories=["octo-org/nowhere", ENGINE])
    for entity, count in (("Issue", 5), ("PullRequest", 0), ("Repository", 1)):
        fetched = adapter.fetch(entity, None)
        pages = [await anext(fetched)]
        while not pages[-1].last:
            pages.append(await anext(fetched))
        with pytest.raises(RecordNotFound, match="octo-org/nowhere"):
            await anext(fetched)
        assert len(records_of(pages)) == count
        assert pages[-1].last
        assert not pages[-1].full_pass


async def test_all_repositories_of_an_owner(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=3, Issue=12)
    await github.control.create("Issue", title="Elsewhere", repository="other-org/thing")
    adapter = await connect(github, repositories=[], owner="Octo-Org")
    assert len(records_of(await pages_of(adapter, "Repository"))) == 3
    pages = await pages_of(adapter, "Issue")
    assert len(records_of(pages)) == 12
    await github.control.create("Issue", title="New", repository="octo-org/fresh")
    assert [r.fields["title"] for r in records_of(await pages_of(adapter, "Issue", pages[-1].cursor))] == [
        "New"
    ]


async def test_a_repository_without_issues_has_none(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=1)
    repository = (await github.control.records("Repository"))[0]["id"]
    await github.control.edit("Repository", repository, hasIssues=False)
    pages = await pages_of(await connect(github), "Issue")
    assert records_of(pages) == []
    assert pages[-1].full_pass


async def test_a_cursor_that_cannot_be_read_is_expired(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=1)
    adapter = await connect(github)
    cursor = (await pages_of(adapter, "Issue"))[-1].cursor
    [place] = cursor["repositories"]
    for broken in ({"since": "yesterday"}, {"since": 7}, {"seen": []}, {"seen": {"1": 2}}):
        with pytest.raises(CursorExpired):
            await pages_of(adapter, "Issue", {**cursor, "repositories": {place: broken}})
    with pytest.raises(CursorExpired):
        await pages_of(adapter, "PullRequest", {"names": {"a/b": "one"}})


async def test_settings_that_make_no_sense_are_refused(github: ProviderSandbox) -> None:
    for wrong in ({"repositories": ["../user"]}, {"repositories": "octo-org/engine"}, {"repositories": []}):
        with pytest.raises(ConfigurationError, match="repositories"):
            await pages_of(await connect(github, **wrong), "Issue")
    with pytest.raises(ConfigurationError, match="apiVersion"):
        await pages_of(await connect(github, apiVersion="latest"), "Issue")
    with pytest.raises(ConfigurationError, match="entity"):
        await pages_of(await connect(github), "Gist")


# Get -----------------------------------------------------------------------------------------------------


async def test_get_tells_gone_from_unknown(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=2, Issue=8, PullRequest=2)
    adapter = await connect(github)
    live, deleted, moved = [record["id"] for record in await github.control.records("Issue")][:3]
    [pull, *_] = await github.control.records("PullRequest")
    await github.control.delete("Issue", deleted)
    await github.control.edit("Issue", moved, transferTo="octo-org/api")
    unknown = f"{live.split('-')[0]}-99999"
    found = await adapter.get("Issue", [live, deleted, moved, unknown, "nonsense", pull["id"]])
    assert {name: record.deleted for name, record in found.items()} == {
        live: False,
        deleted: True,
        moved: True,
    }
    assert set(await adapter.get("PullRequest", [pull["id"], unknown])) == {pull["id"]}
    repository = live.split("-")[0]
    found = await adapter.get("Repository", [repository, "1", "nonsense"])
    assert found[repository].fields["full_name"] in (ENGINE, WEBSITE)
    assert list(found) == [repository]


# Push ----------------------------------------------------------------------------------------------------


async def test_create_and_update_an_issue(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=1, Issue=1)
    gate = OpenGate()
    adapter = await connect(github, gate)
    people = [r["user"] for r in await github.control.records("Issue")]
    record = create(
        "shard-1", body="Text", labels=[{"name": "bug"}, "new"], assignees=[{"login": people[0]}], milestone=1
    )
    [made] = await adapter.push("Issue", [record])
    assert made.ok
    assert made.fields is not None
    assert made.fields["body"] == "Text"
    assert [label["name"] for label in made.fields["labels"]] == ["bug", "new"]
    kept = await github.control.record("Issue", str(made.external_id))
    assert kept["body"] == "Text\n\n<!-- castiel:shard-1 -->"
    assert (kept["assignees"], kept["milestone"]) == (people, 1)
    [changed] = await adapter.push(
        "Issue",
        [
            update(
                str(made.external_id), body=None, state="closed", state_reason="not_planned", milestone=None
            )
        ],
    )
    assert changed.ok
    kept = await github.control.record("Issue", str(made.external_id))
    assert (kept["state"], kept["stateReason"], kept["milestone"]) == ("closed", "not_planned", None)
    assert changed.fields is not None
    assert changed.fields["body"] is None
    assert gate.operations == ["fetch", "create", "update"]


async def test_an_issue_can_be_created_closed(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=1)
    adapter = await connect(github)
    [made] = await adapter.push("Issue", [create("k", state="closed", state_reason="completed")])
    assert made.fields is not None
    assert (made.fields["state"], made.fields["state_reason"]) == ("closed", "completed")


async def test_pull_requests_are_created_updated_and_closed(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=1)
    adapter = await connect(github)
    [made] = await adapter.push("PullRequest", [create("k", head={"ref": "topic"}, base="main", body="Why")])
    assert made.ok
    [changed] = await adapter.push(
        "PullRequest", [update(str(made.external_id), title="Better", head="topic")]
    )
    assert changed.fields is not None
    assert changed.fields["title"] == "Better"
    [again] = await adapter.push("PullRequest", [create("other", head="topic", base="main")])
    assert isinstance(again.error, SchemaMismatch)
    assert "head" in str(again.error)
    assert (await adapter.delete("PullRequest", [update(str(made.external_id))]))[0].ok
    found = await adapter.get("PullRequest", [str(made.external_id)])
    assert found[str(made.external_id)].deleted


@pytest.mark.parametrize("entity", ["Issue", "PullRequest"])
async def test_a_create_whose_answer_was_lost_is_found_again(github: ProviderSandbox, entity: str) -> None:
    await github.control.seed(Repository=1, **{entity: 150})
    adapter = await connect(github)
    branches = {"head": "topic", "base": "main"} if entity == "PullRequest" else {}
    await github.control.fault("drop_after", method="POST", path="/(issues|pulls)$")
    [lost] = await adapter.push(entity, [create("shard-7", **branches)])
    assert isinstance(lost.error, OutcomeUnknown)
    [found] = await adapter.push(entity, [create("shard-7", retrying=True, body="Later text", **branches)])
    assert found.ok
    assert len(await github.control.records(entity)) == 151
    assert (await github.control.record(entity, str(found.external_id)))["title"] == "Issue shard-7"
    [other] = await adapter.push(
        entity, [create("shard-8", retrying=True, **(branches and {**branches, "head": "b"}))]
    )
    assert other.external_id != found.external_id


async def test_one_bad_record_does_not_fail_the_others(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=1)
    adapter = await connect(github)
    outcomes = await adapter.push(
        "Issue",
        [
            create("a"),
            create("b", title=""),
            create("c", assignees=["nobody-at-all"]),
            create("d", color="red"),
            update("1296269-99999", title="x"),
            update("not an id", title="x"),
            create("e", repository="octo-org/hidden"),
            create("f"),
        ],
    )
    kinds = [type(outcome.error) for outcome in outcomes]
    none = type(None)
    wrong = [SchemaMismatch] * 3 + [RecordNotFound] * 3
    assert kinds == [none, *wrong, none]
    assert "title" in str(outcomes[1].error)
    assert "assignees" in str(outcomes[2].error)
    assert "nobody" not in str(outcomes[2].error)
    assert len(await github.control.records("Issue")) == 2


async def test_where_a_new_record_goes(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=2)
    adapter = await connect(github, repositories=[ENGINE, WEBSITE])
    [nowhere, named] = await adapter.push("Issue", [create("a"), create("b", repository=WEBSITE)])
    assert isinstance(nowhere.error, SchemaMismatch)
    adapter = await connect(github, repositories=[ENGINE, WEBSITE], defaultRepository=WEBSITE)
    [default] = await adapter.push("Issue", [create("c")])
    for outcome in (named, default):
        assert (await github.control.record("Issue", str(outcome.external_id)))["repository"] == WEBSITE


async def test_a_limit_stops_the_batch(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=1)
    adapter = await connect(github)
    await github.control.fault("status", status=403, code="secondary_rate_limit", method="POST", skip=1)
    outcomes = await adapter.push("Issue", [create("a"), create("b"), create("c")])
    assert [outcome.ok for outcome in outcomes] == [True, False, False]
    assert all(isinstance(outcome.error, ProviderRateLimited) for outcome in outcomes[1:])
    assert len(await github.control.calls(method="POST")) == 2


async def test_writes_are_apart_by_the_interval(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=1)
    adapter = await connect(github, mutationIntervalSeconds=0.2)
    await adapter.push("Issue", [create("a"), create("b"), create("c")])
    at = [call["atMs"] for call in await github.control.calls(method="POST")]
    assert all(later - earlier >= 200 for earlier, later in itertools.pairwise(at))


async def test_repositories_are_only_read(github: ProviderSandbox) -> None:
    adapter = await connect(github)
    for outcomes in (
        await adapter.push("Repository", [create("a")]),
        await adapter.delete("Repository", [update("1296269")]),
    ):
        assert isinstance(outcomes[0].error, ProviderRejected)
    assert await github.control.calls() == []


# Delete --------------------------------------------------------------------------------------------------


async def test_delete_closes_and_counts_as_deleted_until_reopened(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=2)
    adapter = await connect(github)
    cursor = (await pages_of(adapter, "Issue"))[-1].cursor
    issue = (await github.control.records("Issue"))[0]["id"]
    await github.control.edit("Issue", issue, body="Kept", state="open")
    assert (await adapter.delete("Issue", [update(issue)]))[0].ok
    kept = await github.control.record("Issue", issue)
    assert (kept["state"], kept["stateReason"]) == ("closed", "not_planned")
    pages = await pages_of(adapter, "Issue", cursor)
    assert [(r.external_id, r.deleted) for r in records_of(pages)] == [(issue, True)]
    await github.control.clear_calls()
    assert (await adapter.delete("Issue", [update(issue)]))[0].ok
    assert await github.control.calls(method="PATCH") == []
    await github.control.edit("Issue", issue, state="open")
    [record] = records_of(await pages_of(adapter, "Issue", pages[-1].cursor))
    assert (record.deleted, record.fields["body"]) == (False, "Kept")


async def test_deleting_what_is_gone_succeeds(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=2)
    adapter = await connect(github)
    issue = (await github.control.records("Issue"))[0]["id"]
    await github.control.delete("Issue", issue)
    outcomes = await adapter.delete("Issue", [update(issue), update(f"{issue.split('-')[0]}-9999")])
    assert [outcome.ok for outcome in outcomes] == [True, True]


async def test_a_write_does_not_follow_a_moved_issue(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=1)
    adapter = await connect(github)
    [issue] = await github.control.records("Issue")
    await github.control.edit("Issue", issue["id"], transferTo="octo-org/api")
    [outcome] = await adapter.push("Issue", [update(issue["id"], title="Elsewhere")])
    assert isinstance(outcome.error, RecordNotFound)


# Errors and quota ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 401}, AuthenticationFailed),
        ({"status": 403}, PermissionDenied),
        ({"status": 403, "code": "primary_rate_limit"}, ProviderRateLimited),
        ({"status": 403, "code": "secondary_rate_limit"}, ProviderRateLimited),
        ({"status": 403, "retry_after": 30}, ProviderRateLimited),
        ({"status": 429}, ProviderRateLimited),
        ({"status": 422, "code": "invalid"}, SchemaMismatch),
        ({"status": 500}, ProviderUnavailable),
        ({"status": 502}, ProviderUnavailable),
        ({"status": 503}, ProviderUnavailable),
        ({"status": 451}, PermissionDenied),
    ],
)
async def test_errors(github: ProviderSandbox, fault: dict[str, Any], error: type[Exception]) -> None:
    await github.control.seed(Issue=1)
    adapter = await connect(github)
    await github.control.fault("status", path="/issues", times=None, **fault)
    with pytest.raises(error):
        await pages_of(adapter, "Issue")


async def test_how_long_a_limit_asks_to_wait(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=1)
    gate = OpenGate()
    adapter = await connect(github, gate)

    async def wait(**fault: Any) -> float | None:
        await github.control.fault("status", path="/issues", **fault)
        with pytest.raises(ProviderRateLimited) as caught:
            await pages_of(adapter, "Issue")
        assert gate.quotas[-1].retry_after == caught.value.retry_after
        return caught.value.retry_after

    assert await wait(status=403, code="secondary_rate_limit", retry_after=17) == 17
    assert await wait(status=403, code="secondary_rate_limit") == 60
    assert await wait(status=429) == 60
    until_reset = await wait(status=403, code="primary_rate_limit")
    assert until_reset is not None
    assert 3000 < until_reset <= 3600


async def test_a_spent_quota(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=1)
    await github.control.policy(requests_used=4998)
    gate = OpenGate()
    adapter = await connect(github, gate)
    await pages_of(adapter, "Issue")
    with pytest.raises(ProviderRateLimited):
        await pages_of(adapter, "Issue")
    assert (gate.quotas[-1].remaining, gate.quotas[-1].limit) == (0, 5000)
    assert gate.quotas[-1].reset_at is not None
    assert gate.quotas[0].resource == "core"


async def test_too_many_writes_in_a_minute(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=1)
    await github.control.policy(content_per_minute=2)
    adapter = await connect(github)
    outcomes = await adapter.push("Issue", [create("a"), create("b"), create("c")])
    error = outcomes[2].error
    assert isinstance(error, ProviderRateLimited)
    assert error.retry_after is not None
    assert 50 < error.retry_after <= 60


async def test_a_refused_token_is_replaced_once(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=1)
    authorizer = StaticAuthorizer("worn-out", renew=lambda: _renewed(github))
    adapter = adapter_for(PROVIDER, github, authorizer, repositories=[ENGINE])
    assert len(records_of(await pages_of(adapter, "Issue"))) == 1
    assert authorizer.refused == 1


async def _renewed(github: ProviderSandbox) -> Any:
    return StaticAuthorizer((await github.control.grant())["access_token"]).token


async def test_spoilt_answers(github: ProviderSandbox) -> None:
    await github.control.seed(Issue=1)
    adapter = await connect(github)
    for kind in ("malformed", "truncated", "drop_before"):
        await github.control.fault(kind, path="/issues", times=2)
        with pytest.raises(ProviderUnavailable):
            await pages_of(adapter, "Issue")
        await github.control.clear_faults()


# Discovery and health ------------------------------------------------------------------------------------


async def test_describe_fits_what_records_carry(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=1, Issue=20, PullRequest=20)
    adapter = await connect(github)
    for entity in await adapter.describe():
        record = records_of(await pages_of(adapter, entity.name))[0]
        for field in entity.fields:
            assert field.name.split(".")[0] in record.fields, f"{entity.name}.{field.name}"
    issue = next(entity for entity in await adapter.describe() if entity.name == "Issue")
    title, number = issue.field("title"), issue.field("number")
    assert title is not None
    assert title.required
    assert number is not None
    assert not number.writable


async def test_health(github: ProviderSandbox) -> None:
    health = await (await connect(github)).check()
    assert (health.account, health.scopes) == ("octo-castiel", ())
    token = (await github.control.grant(scope="repo, read:org"))["access_token"]
    adapter = adapter_for(PROVIDER, github, StaticAuthorizer(token))
    assert (await adapter.check()).scopes == ("repo", "read:org")
    token = (await github.control.grant(installation=True))["access_token"]
    adapter = adapter_for(PROVIDER, github, StaticAuthorizer(token), installationId=957387)
    assert (await adapter.check()).account == "installation 957387"


async def test_an_installation_reads_its_repositories_and_writes_as_its_bot(github: ProviderSandbox) -> None:
    await github.control.seed(Repository=2, Issue=4)
    token = (await github.control.grant(installation=True))["access_token"]
    adapter = adapter_for(
        PROVIDER,
        github,
        StaticAuthorizer(token),
        installationId=957387,
        owner="octo-org",
        defaultRepository=ENGINE,
    )
    assert len(records_of(await pages_of(adapter, "Issue"))) == 4
    [made] = await adapter.push("Issue", [create("a")])
    assert made.fields is not None
    assert made.fields["user"]["login"] == "castiel-sync[bot]"
