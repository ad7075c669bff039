"""A record whose shard the store does not take fails alone, and is kept for replay, whatever its size."""

from __future__ import annotations

import pytest

from castiel.adapters.base import ExternalRecord
from castiel.services.replay import Replayed
from infra.local.sample import SampleProvider, plant
from tests.support.app import running_services

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    # What aiohttp says of every body over 1 MB; the SDK hands it over as it is.
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
]

SAMPLE = SampleProvider(
    "salesforce", "sf-large", {"Contact": "contact"}, {"Contact": 3}, tenant="tenant-large"
)


def contact(external_id: str, size: int) -> ExternalRecord:
    return ExternalRecord("Contact", external_id, {"LastName": external_id, "Description": "x" * size})


async def test_a_shard_over_the_limit_fails_alone_and_can_be_replayed() -> None:
    async with running_services() as app, app.control() as control:
        await plant(app.services, control, SAMPLE)
        stores, engine = app.services.stores, app.services.engine
        connection = await stores.connections.get(SAMPLE.tenant, SAMPLE.connection_id)
        known = (await control.records("Contact"))[0]["Id"]
        context = await engine.context(connection, connection.entities[0], "exec-large")
        # A shard holds each value twice, in its fields and in what both sides agreed on.
        page = [
            contact("Small1", 10),
            contact("Large", 1_200_000),
            contact("Small2", 10),
            contact(known, 2_500_000),
        ]
        done = await engine.pull(context, page)

        assert (done.records_processed, done.records_created, done.records_failed) == (4, 2, 2)
        assert {error.code for error in done.errors} == {"DocumentTooLarge"}
        assert await stores.shards.count(SAMPLE.tenant) == 2
        failed = {r.external_id: r async for r in stores.failed_records.of_tenant(SAMPLE.tenant)}
        assert failed.keys() == {"Large", known}
        assert len(failed["Large"].fields["Description"]) == 1_200_000
        assert (failed[known].fields, failed[known].fields_left_out) == ({}, True)

        # The one is as large as ever; the other is read anew, and it has shrunk at the provider.
        assert await app.services.replay.replay(SAMPLE.tenant) == Replayed(stored=1, failed=1)
        assert await stores.shards.count(SAMPLE.tenant) == 3
        assert [r.external_id async for r in stores.failed_records.of_tenant(SAMPLE.tenant)] == ["Large"]
