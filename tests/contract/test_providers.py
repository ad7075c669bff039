"""One suite over all providers: what Castiel relies on, whoever the provider is.

``python -m tests.provider_table`` (``make providers``) prints what this suite proved, provider by provider. Add a
provider by adding its case to ``tests/support/provider_cases``.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from castiel.adapters.base import Adapter, ExternalRecord, PushRecord
from castiel.adapters.http import AccessToken
from castiel.adapters.registry import load_providers
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.domain.messages import Operation
from castiel.errors import (
    CastielError,
    MalformedResponse,
    ProviderError,
    ProviderRateLimited,
    ProviderUnavailable,
    ReauthRequired,
)
from tests.support.provider_cases import ProviderCase, load_cases
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

CASES = load_cases()
PROVIDERS = load_providers()


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> ProviderCase:
    return CASES[request.param]


@dataclass
class Account:
    """A seeded account, its tokens, and an adapter for it."""

    case: ProviderCase
    sandbox: ProviderSandbox
    client: OAuthClient
    token: TokenSecret
    authorizer: StaticAuthorizer
    gate: OpenGate
    adapter: Adapter

    async def all(self, adapter: Adapter | None = None, cursor: Any = None) -> list[ExternalRecord]:
        return records_of(await pages_of(adapter or self.adapter, self.case.entity, cursor))

    async def cursor(self) -> Any:
        """Where a complete pass ends."""
        return (await pages_of(self.adapter, self.case.entity))[-1].cursor

    async def push_one(self, record: PushRecord) -> Any:
        [outcome] = await self.adapter.push(self.case.entity, [record])
        return outcome


@asynccontextmanager
async def account(case: ProviderCase, *, patience: float = 30.0, **settings: Any) -> AsyncIterator[Account]:
    provider = PROVIDERS.get(case.integration_id)
    async with running_sandbox(case.integration_id, timeout=patience) as sandbox:
        await sandbox.control.seed(**case.seed)
        clients = (await sandbox.control.policy())["clients"]
        client_id, secret = next((name, client["secret"]) for name, client in clients.items())
        client = OAuthClient.model_validate({"clientId": client_id, "clientSecret": secret})
        granted = await sandbox.control.grant()
        token = TokenSecret.model_validate(
            {
                "accessToken": granted["access_token"],
                "refreshToken": granted.get("refresh_token"),
                "instanceUrl": granted.get("instance_url"),
            }
        )
        gate = OpenGate()
        authorizer = StaticAuthorizer(token.access_token.get_secret_value(), token.instance_url)
        merged = {**case.settings, **settings}
        adapter = adapter_for(provider, sandbox, authorizer, gate=gate, **merged)
        found = Account(case, sandbox, client, token, authorizer, gate, adapter)

        async def renew() -> AccessToken:
            found.token = await provider.oauth.refresh(sandbox.http, adapter.connection, client, found.token)
            return AccessToken(found.token.access_token, found.token.instance_url)

        authorizer._renew = renew
        yield found


def create(case: ProviderCase, word: str, *, retrying: bool = False) -> PushRecord:
    return PushRecord(f"shard-{word}", Operation.CREATE, case.new(word), retrying=retrying)


async def test_a_pass_is_complete_and_without_repeats(case: ProviderCase) -> None:
    async with account(case, **case.small_pages) as found:
        pages = await pages_of(found.adapter, case.entity)
        ids = [record.external_id for record in records_of(pages)]
        assert len(pages) > 1
        assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
        assert len(ids) == len(set(ids)) == await case.live(found.sandbox.control)


async def test_a_pass_stays_complete_while_records_change_underneath(case: ProviderCase) -> None:
    async with account(case, **case.small_pages) as found:
        known = await found.all()
        seen: dict[str, ExternalRecord] = {}
        edited = known[5].external_id
        cursor = None
        async for page in found.adapter.fetch(case.entity, None):
            if not seen:
                await case.edit(found.sandbox.control, edited, "changed underneath")
            seen |= {record.external_id: record for record in page.records}
            cursor = page.cursor
        assert {record.external_id for record in known} <= seen.keys()
        # What changed during the pass is shown by it, or by the next one.
        following = {record.external_id: record for record in await found.all(cursor=cursor)}
        newest = following.get(edited) or seen[edited]
        assert newest.fields[case.text_field] == "changed underneath"


async def test_a_pass_that_stops_goes_on_from_its_cursor(case: ProviderCase) -> None:
    async with account(case, **case.small_pages) as found:
        everything = {record.external_id for record in await found.all()}
        pages = found.adapter.fetch(case.entity, None)
        first = await anext(pages)
        await pages.aclose()  # type: ignore[attr-defined]
        rest = await found.all(cursor=first.cursor)
        assert {r.external_id for r in first.records} | {r.external_id for r in rest} == everything


async def test_an_incremental_pass_shows_an_edit(case: ProviderCase) -> None:
    async with account(case) as found:
        known = await found.all()
        cursor = await found.cursor()
        edited = known[3].external_id
        await case.edit(found.sandbox.control, edited, "edited")
        shown = await found.all(cursor=cursor)
        assert [record.external_id for record in shown].count(edited) == 1
        changed = {record.external_id: record for record in shown}
        assert changed[edited].fields[case.text_field] == "edited"


async def test_a_deletion_is_seen(case: ProviderCase) -> None:
    async with account(case) as found:
        known = await found.all()
        cursor = await found.cursor()
        gone = known[2].external_id
        await case.delete(found.sandbox.control, gone)
        if case.sees_deletions_at_once:
            changed = {record.external_id: record for record in await found.all(cursor=cursor)}
            assert changed[gone].deleted
        else:
            pages = await pages_of(found.adapter, case.entity)
            assert all(page.full_pass for page in pages)
            assert gone not in {r.external_id for r in records_of(pages) if not r.deleted}


async def test_a_push_is_read_back_equal(case: ProviderCase) -> None:
    async with account(case) as found:
        made = await found.push_one(create(case, "Made"))
        assert made.error is None
        record = (await found.adapter.get(case.entity, [made.external_id]))[made.external_id]
        for name, value in case.new("Made").items():
            assert record.fields[name] == value
        change = PushRecord(
            "shard-Made",
            Operation.UPDATE,
            {case.text_field: "pushed"},
            external_id=made.external_id,
            version=record.version,
        )
        assert (await found.push_one(change)).error is None
        record = (await found.adapter.get(case.entity, [made.external_id]))[made.external_id]
        assert record.fields[case.text_field] == "pushed"


async def test_a_create_that_is_repeated_makes_one_record(case: ProviderCase) -> None:
    async with account(case) as found:
        before = await case.live(found.sandbox.control)
        first = await found.push_one(create(case, "Once"))
        second = await found.push_one(create(case, "Once", retrying=True))
        assert (first.error, second.error) == (None, None)
        assert first.external_id == second.external_id
        assert await case.live(found.sandbox.control) == before + 1


async def test_what_a_create_made_is_found_by_its_key_where_the_provider_lets_us_look(
    case: ProviderCase,
) -> None:
    async with account(case) as found:
        made = await found.push_one(create(case, "Look"))
        seen = await found.adapter.find_made(case.entity, [create(case, "Look"), create(case, "Never")])
        shown = {key: (record.external_id, record.made_from) for key, record in seen.items()}
        # GitHub's and Slack's markers are looked for by the create itself; an event's id at Google is chosen by us, and
        # its contacts have a test of their own.
        looks = case.integration_id in ("salesforce", "notion")
        assert shown == ({"shard-Look": (made.external_id, "shard-Look")} if looks else {})


@pytest.mark.parametrize(
    "fault",
    [{"kind": "drop_after"}, {"kind": "status", "status": 503, "processed": True}],
    ids=["dropped", "503"],
)
async def test_a_create_whose_answer_was_lost_is_found_again(
    case: ProviderCase, fault: dict[str, Any]
) -> None:
    async with account(case) as found:
        before = await case.live(found.sandbox.control)
        await found.sandbox.control.fault(**fault, path=case.write_calls, times=1)
        try:
            error = (await found.push_one(create(case, "Lost"))).error
        except ProviderUnavailable as caught:
            error = caught
        assert error is None or isinstance(error, ProviderUnavailable)
        await all_met(found)
        assert await case.live(found.sandbox.control) == before + 1
        again = await found.push_one(create(case, "Lost", retrying=True))
        assert again.error is None
        assert await case.live(found.sandbox.control) == before + 1


async def test_one_bad_record_fails_alone(case: ProviderCase) -> None:
    async with account(case) as found:
        missing = PushRecord(
            "shard-x", Operation.UPDATE, {case.text_field: "x"}, external_id="no-such-record"
        )
        good, bad = await found.adapter.push(case.entity, [create(case, "Good"), missing])
        assert good.error is None
        assert isinstance(bad.error, ProviderError)
        assert not bad.error.retryable


async def test_deleting_twice_succeeds(case: ProviderCase) -> None:
    async with account(case) as found:
        made = await found.push_one(create(case, "Deleted"))
        before = await case.live(found.sandbox.control)
        order = PushRecord("shard-Deleted", Operation.DELETE, {}, external_id=made.external_id)
        for _ in range(2):
            [outcome] = await found.adapter.delete(case.entity, [order])
            assert outcome.error is None
        assert await case.live(found.sandbox.control) == before - 1


async def test_an_expired_token_is_refreshed_once(case: ProviderCase) -> None:
    async with account(case) as found:
        if found.token.refresh_token is None:
            pytest.skip("this provider's grant has no refresh token")
        await found.sandbox.control.expire_access_tokens()
        assert await found.all()
        assert found.authorizer.refused == 1


async def test_a_dead_grant_asks_for_a_person(case: ProviderCase) -> None:
    async with account(case) as found:
        if found.token.refresh_token is None:
            pytest.skip("this provider's grant has no refresh token")
        await found.sandbox.control.revoke()
        with pytest.raises(ReauthRequired) as caught:
            await found.all()
        assert found.token.refresh_token.get_secret_value() not in str(caught.value)


async def all_met(found: Account) -> None:
    """Every fault that was ordered has happened: what passed did so in spite of it."""
    faults = await found.sandbox.control.faults()
    assert faults
    assert all(fault["hits"] for fault in faults), faults


async def failing(found: Account) -> CastielError:
    with pytest.raises(CastielError) as caught:
        await found.all()
    return caught.value


async def test_too_many_requests_say_when_to_come_back(case: ProviderCase) -> None:
    async with account(case) as found:
        await found.sandbox.control.fault("status", status=429, retry_after=17, path=case.calls, times=None)
        error = await failing(found)
        await all_met(found)
        assert isinstance(error, ProviderRateLimited)
        assert error.retry_after == 17
        assert any(quota.retry_after == 17 for quota in found.gate.quotas)


@pytest.mark.parametrize("status", [500, 503])
async def test_a_server_error_may_pass(case: ProviderCase, status: int) -> None:
    async with account(case) as found:
        await found.sandbox.control.fault("status", status=status, path=case.calls, times=None)
        assert isinstance(await failing(found), ProviderUnavailable)
        await all_met(found)


@pytest.mark.parametrize("kind", ["drop_before", "malformed", "truncated", "slow"])
async def test_a_broken_answer_may_pass_and_never_crashes(case: ProviderCase, kind: str) -> None:
    async with account(case, patience=0.5) as found:
        options = {"delay_ms": 1500} if kind == "slow" else {}
        await found.sandbox.control.fault(kind, path=case.calls, times=None, **options)
        assert isinstance(await failing(found), ProviderUnavailable)
        await all_met(found)


async def test_a_page_of_ten_megabytes_is_survived(case: ProviderCase) -> None:
    async with account(case) as found:
        await found.sandbox.control.fault("huge", path=case.calls, times=1)
        with contextlib.suppress(MalformedResponse):
            await found.all()
        await all_met(found)
        assert await found.all()


async def test_the_account_says_who_it_is_and_what_it_has(case: ProviderCase) -> None:
    async with account(case) as found:
        assert (await found.adapter.check()).account
        described = {entity.name: entity for entity in await found.adapter.describe()}
        assert case.entity in described
        fields = {each.name: each for each in described[case.entity].fields}
        assert fields[case.text_field].writable
