"""The Salesforce adapter writes to a sandboxed org: in batches, repeatably, one failure never another's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from castiel.adapters.base import Adapter, PushOutcome, PushRecord
from castiel.adapters.salesforce import PROVIDER
from castiel.adapters.salesforce.ids import full_id
from castiel.domain.messages import Operation
from castiel.errors import (
    AuthenticationFailed,
    CastielError,
    ConfigurationError,
    OutcomeUnknown,
    PermissionDenied,
    ProviderRejected,
    ProviderUnavailable,
    RecordNotFound,
    SchemaMismatch,
)
from tests.support.providers import OpenGate, ProviderSandbox, StaticAuthorizer, adapter_for, running_sandbox

pytestmark = pytest.mark.stack

ABSENT = {"externalIdField": "Elsewhere_Id__c"}
NOBODY = full_id("003gL0000000zzz")


@pytest.fixture
async def org() -> AsyncIterator[ProviderSandbox]:
    async with running_sandbox("salesforce") as sandbox:
        yield sandbox


async def adapter(org: ProviderSandbox, gate: OpenGate | None = None, **settings: Any) -> Adapter:
    granted = await org.control.grant()
    access = StaticAuthorizer(granted["access_token"], granted["instance_url"])
    return adapter_for(PROVIDER, org, access, gate=gate, **settings)


def create(key: str, *, retrying: bool = False, **fields: Any) -> PushRecord:
    return PushRecord(key, Operation.CREATE, fields, retrying=retrying)


def update(external_id: str, **fields: Any) -> PushRecord:
    return PushRecord(f"key-{external_id}", Operation.UPDATE, fields, external_id=external_id)


def delete(external_id: str | None) -> PushRecord:
    return PushRecord(f"key-{external_id}", Operation.DELETE, {}, external_id=external_id)


def errors(outcomes: list[PushOutcome]) -> list[type[CastielError] | None]:
    return [type(outcome.error) if outcome.error else None for outcome in outcomes]


async def live(org: ProviderSandbox, entity: str) -> int:
    return int((await org.control.counts()).get(entity, {}).get("live", 0))


async def test_a_create_that_is_repeated_makes_one_record(org: ProviderSandbox) -> None:
    writer = await adapter(org)
    [first] = await writer.push("Contact", [create("contact-1", LastName="King", FirstName="Ada")])
    [again] = await writer.push(
        "Contact", [create("contact-1", retrying=True, LastName="King", FirstName="Ada")]
    )
    assert first.ok
    assert again.external_id == first.external_id
    assert await live(org, "Contact") == 1
    kept = await org.control.record("Contact", str(first.external_id))
    assert (kept["FirstName"], kept["Castiel_Id__c"]) == ("Ada", "contact-1")


@pytest.mark.parametrize("kind", ["drop_after", "truncated", "malformed"])
async def test_a_create_whose_answer_is_lost_makes_one_record(org: ProviderSandbox, kind: str) -> None:
    writer = await adapter(org)
    await org.control.fault(kind, path="composite", times=1)
    records = [create("contact-1", LastName="King")]
    try:
        [outcome] = await writer.push("Contact", records)
    except ProviderUnavailable:
        [outcome] = await writer.push("Contact", records)
    assert outcome.ok
    assert await live(org, "Contact") == 1


async def test_every_write_is_marked_as_ours(org: ProviderSandbox) -> None:
    writer = await adapter(org)
    [made] = await writer.push("Account", [create("account-1", Name="Engines")])
    await writer.push("Account", [update(str(made.external_id), Name="Difference Engines")])
    await writer.delete("Account", [delete(made.external_id)])
    changes = await org.control.changes(entity="Account")
    assert [change["operation"] for change in changes] == ["create", "update", "delete"]
    assert {change["origin"] for change in changes} == {"com/salesforce/api/rest/62.0;client=castiel"}


async def test_outcomes_keep_the_order_and_one_failure_is_one_records_own(org: ProviderSandbox) -> None:
    kept = (await org.control.create("Contact", LastName="Byron"))["id"]
    writer = await adapter(org)
    outcomes = await writer.push(
        "Contact",
        [
            create("contact-1", FirstName="nameless"),
            update(kept, Title="Lady"),
            create("contact-2", LastName="King"),
            update(kept, Email="not an address"),
            update(NOBODY, Title="nobody"),
            update("not an id", Title="nobody"),
        ],
    )
    assert [outcome.key for outcome in outcomes] == [
        "contact-1",
        f"key-{kept}",
        "contact-2",
        f"key-{kept}",
        f"key-{NOBODY}",
        "key-not an id",
    ]
    wanted = [SchemaMismatch, None, None, SchemaMismatch, RecordNotFound, RecordNotFound]
    assert errors(outcomes) == wanted
    assert "LastName" in str(outcomes[0].error)
    assert "not an address" not in str(outcomes[3].error)
    assert (await org.control.record("Contact", kept))["Title"] == "Lady"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("UNABLE_TO_LOCK_ROW", ProviderUnavailable),
        ("REQUIRED_FIELD_MISSING", SchemaMismatch),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", SchemaMismatch),
        ("INSUFFICIENT_ACCESS_OR_READONLY", PermissionDenied),
        ("DUPLICATES_DETECTED", ProviderRejected),
        ("STORAGE_LIMIT_EXCEEDED", ProviderRejected),
    ],
)
async def test_a_records_own_error_has_the_class_of_its_code(
    org: ProviderSandbox, code: str, error: type[CastielError]
) -> None:
    kept = (await org.control.create("Contact", LastName="Byron"))["id"]
    await org.control.fault("record_error", code=code, method="update", entity="Contact")
    outcomes = await (await adapter(org)).push(
        "Contact", [update(kept, Title="Lady"), update(kept, Title="Lord")]
    )
    assert errors(outcomes) == [error, None]
    assert outcomes[0].error is not None
    assert outcomes[0].error.retryable is (code == "UNABLE_TO_LOCK_ROW")


async def test_an_update_of_what_was_deleted_finds_no_record(org: ProviderSandbox) -> None:
    gone = (await org.control.create("Contact", LastName="Byron"))["id"]
    await org.control.delete("Contact", gone)
    assert errors(await (await adapter(org)).push("Contact", [update(gone, Title="Lord")])) == [
        RecordNotFound
    ]


async def test_a_reference_that_leads_nowhere_is_not_taken_for_a_missing_record(org: ProviderSandbox) -> None:
    kept = (await org.control.create("Contact", LastName="Byron"))["id"]
    outcomes = await (await adapter(org)).push(
        "Contact", [update(kept, AccountId=full_id("001gL0000000zzz"))]
    )
    assert errors(outcomes) == [SchemaMismatch]


async def test_a_field_can_be_cleared(org: ProviderSandbox) -> None:
    kept = (await org.control.create("Contact", LastName="Byron", Title="Lord"))["id"]
    await (await adapter(org)).push("Contact", [update(kept, Title=None)])
    assert (await org.control.record("Contact", kept))["Title"] is None


async def test_many_records_go_in_batches_of_two_hundred(org: ProviderSandbox) -> None:
    gate = OpenGate()
    writer = await adapter(org, gate)
    outcomes = await writer.push(
        "Lead", [create(f"lead-{n}", LastName=f"L{n}", Company="C") for n in range(450)]
    )
    assert all(outcome.ok for outcome in outcomes)
    assert gate.operations == ["fetch", "create", "create", "create"]
    found = [delete(outcome.external_id) for outcome in outcomes]
    assert all(outcome.ok for outcome in await writer.delete("Lead", found))
    assert gate.operations[4:] == ["delete"] * 3
    assert (await org.control.counts())["Lead"] == {"live": 0, "deleted": 450}


async def test_batches_before_a_failed_call_stand(org: ProviderSandbox) -> None:
    await org.control.fault("status", path="composite", status=503, skip=1, times=None)
    writer = await adapter(org)
    outcomes = await writer.push(
        "Lead", [create(f"lead-{n}", LastName=f"L{n}", Company="C") for n in range(450)]
    )
    assert errors(outcomes) == [None] * 200 + [ProviderUnavailable] * 250
    assert len(await org.control.calls(method="PATCH")) == 2


async def test_updates_keep_their_outcomes_when_the_creates_fail_as_a_whole(org: ProviderSandbox) -> None:
    kept = (await org.control.create("Contact", LastName="Byron"))["id"]
    await org.control.fault("status", path="Castiel_Id__c", status=503, times=None)
    outcomes = await (await adapter(org)).push(
        "Contact", [create("contact-1", LastName="K"), update(kept, Title="T")]
    )
    assert errors(outcomes) == [ProviderUnavailable, None]


async def test_a_call_that_fails_as_a_whole_raises(org: ProviderSandbox) -> None:
    await org.control.fault("status", path="composite", status=503, times=None)
    with pytest.raises(ProviderUnavailable):
        await (await adapter(org)).push("Contact", [create("contact-1", LastName="King")])
    await org.control.clear_faults()
    stale = adapter_for(PROVIDER, org, StaticAuthorizer("no session", org.url))
    with pytest.raises(AuthenticationFailed):
        await stale.delete("Contact", [delete(NOBODY)])


async def test_deleting_what_is_gone_succeeds(org: ProviderSandbox) -> None:
    kept = (await org.control.create("Contact", LastName="Byron"))["id"]
    writer = await adapter(org)
    for _ in range(2):
        assert errors(await writer.delete("Contact", [delete(kept), delete(NOBODY)])) == [
            None,
            None,
        ]
    assert errors(await writer.delete("Contact", [delete(None)])) == [RecordNotFound]
    assert await live(org, "Contact") == 0


async def test_nothing_to_write_makes_no_call(org: ProviderSandbox) -> None:
    gate = OpenGate()
    writer = await adapter(org, gate)
    assert await writer.push("Contact", []) == []
    assert await writer.delete("Contact", []) == []
    assert gate.operations == []


async def test_without_the_external_id_field_a_create_is_made_once(org: ProviderSandbox) -> None:
    writer = await adapter(org, **ABSENT)
    outcomes = await writer.push(
        "Contact",
        [create("contact-1", LastName="King"), create("contact-2", retrying=True, LastName="Byron")],
    )
    assert errors(outcomes) == [None, ConfigurationError]
    assert str(outcomes[1].error) == (
        "externalIdField: add a unique external id field Elsewhere_Id__c to Contact"
        " so that creates can be repeated safely"
    )
    assert await live(org, "Contact") == 1


async def test_without_the_external_id_field_a_lost_answer_is_not_repeated(org: ProviderSandbox) -> None:
    writer = await adapter(org, **ABSENT)
    await org.control.fault("drop_after", path="composite", times=1)
    with pytest.raises(OutcomeUnknown):
        await writer.push("Contact", [create("contact-1", LastName="King")])
    [outcome] = await writer.push("Contact", [create("contact-1", retrying=True, LastName="King")])
    assert isinstance(outcome.error, ConfigurationError)
    assert await live(org, "Contact") == 1


async def test_a_field_that_is_no_external_id_is_not_used_as_one(org: ProviderSandbox) -> None:
    writer = await adapter(org, externalIdField="Description")
    [outcome] = await writer.push("Contact", [create("contact-1", retrying=True, LastName="King")])
    assert isinstance(outcome.error, ConfigurationError)
    with pytest.raises(ConfigurationError, match="externalIdField"):
        await (await adapter(org, externalIdField="../x")).push(
            "Contact", [create("contact-1", LastName="K")]
        )


async def test_several_records_with_one_external_id_are_refused(org: ProviderSandbox) -> None:
    await org.control.policy(unique_external_ids=False)
    for _ in range(2):
        await org.control.create("Contact", LastName="Byron", Castiel_Id__c="contact-1")
    [outcome] = await (await adapter(org)).push("Contact", [create("contact-1", LastName="King")])
    assert isinstance(outcome.error, ProviderRejected)
    assert outcome.error.provider_code == "DUPLICATE_EXTERNAL_ID"


async def test_an_object_is_described_once_for_all_that_write_it(org: ProviderSandbox) -> None:
    """An adapter is made for each batch; what the object is like doesn't change from one to the next."""
    for number in range(3):
        [outcome] = await (await adapter(org)).push("Contact", [create(f"s{number}", LastName="One")])
        assert outcome.ok
    assert len(await org.control.calls(path="Contact/describe")) == 1
    assert len(await org.control.calls(method="PATCH", path="composite/sobjects")) == 3
