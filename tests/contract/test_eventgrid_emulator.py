"""What a custom topic promises a publisher, checked through azure-eventgrid.

By default against the emulator; with CASTIEL_CONTRACT_EVENT_GRID_ENDPOINT and CASTIEL_CONTRACT_EVENT_GRID_KEY set,
the publishing half also runs against that topic (it must take CloudEvents 1.0).

[post]   https://learn.microsoft.com/azure/event-grid/post-to-custom-topic
[schema] https://learn.microsoft.com/azure/event-grid/cloud-event-schema
[limits] https://learn.microsoft.com/azure/event-grid/quotas-limits
"""

from __future__ import annotations

import datetime
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent
from azure.eventgrid.aio import EventGridPublisherClient

from infra.local.process import ServerProcess

pytestmark = pytest.mark.stack

CLOUD_ENDPOINT = os.environ.get("CASTIEL_CONTRACT_EVENT_GRID_ENDPOINT", "")
CLOUD_KEY = os.environ.get("CASTIEL_CONTRACT_EVENT_GRID_KEY", "")
emulator_only = pytest.mark.skipif(bool(CLOUD_ENDPOINT), reason="only the emulator tells what it got")


@pytest.fixture(scope="module")
def emulator() -> Iterator[ServerProcess]:
    with ServerProcess("eventgrid") as server:
        yield server


def connect(server: ServerProcess, key: str | None = None, **options: Any) -> EventGridPublisherClient:
    credential = AzureKeyCredential(key or server.ready["key"])
    return EventGridPublisherClient(server.ready["url"] + "/api/events", credential, **options)


@pytest.fixture
async def topic(request: pytest.FixtureRequest) -> AsyncIterator[EventGridPublisherClient]:
    if CLOUD_ENDPOINT:
        client = EventGridPublisherClient(CLOUD_ENDPOINT, AzureKeyCredential(CLOUD_KEY))
    else:
        client = connect(request.getfixturevalue("emulator"))
    async with client:
        yield client


def read_page(server: ServerProcess, **wanted: str) -> dict[str, Any]:
    answer = httpx.get(server.ready["url"] + "/_events", params=wanted)
    answer.raise_for_status()
    page: dict[str, Any] = answer.json()
    return page


def published(server: ServerProcess, **wanted: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = read_page(server, **wanted)["events"]
    return events


def order_fault(server: ServerProcess, **fault: Any) -> None:
    httpx.post(server.ready["url"] + "/_faults", json=fault).raise_for_status()


@pytest.fixture
def kind() -> str:
    return f"Castiel.Test.{uuid.uuid4().hex}"


async def test_a_batch_is_accepted(topic: EventGridPublisherClient, kind: str) -> None:
    """[post]: 200 for an accepted batch; CloudEvents go as application/cloudevents-batch+json."""
    await topic.send([CloudEvent(source="/castiel", type=kind, data={"number": each}) for each in range(3)])
    await topic.send(CloudEvent(source="/castiel", type=kind, data=None))


async def test_a_wrong_key_is_unauthorized(request: pytest.FixtureRequest, kind: str) -> None:
    """[post]: 401 for an invalid access key."""
    endpoint = CLOUD_ENDPOINT or request.getfixturevalue("emulator").ready["url"] + "/api/events"
    async with EventGridPublisherClient(endpoint, AzureKeyCredential("not the key")) as client:
        with pytest.raises(ClientAuthenticationError):
            await client.send(CloudEvent(source="/castiel", type=kind))


async def test_another_schema_is_a_bad_request(topic: EventGridPublisherClient, kind: str) -> None:
    """[schema]: a topic set to CloudEvents refuses the Event Grid schema (400)."""
    other = EventGridEvent(subject="s", event_type=kind, data={}, data_version="1")
    with pytest.raises(HttpResponseError) as failure:
        await topic.send(other)
    assert failure.value.status_code == 400
    assert failure.value.error is not None
    assert failure.value.error.code == "BadRequest"


@pytest.mark.parametrize(
    "flaw",
    [
        {"source": ""},
        {"type": ""},
        {"time": "yesterday"},
        {"data": {}, "data_base64": "eA=="},
        {"Extension": "upper case"},
    ],
    ids=str,
)
async def test_an_event_that_is_no_cloud_event_is_refused_with_its_batch(
    topic: EventGridPublisherClient, request: pytest.FixtureRequest, kind: str, flaw: dict[str, Any]
) -> None:
    """[schema], [post]: 400 for events in a wrong format."""
    good = {"id": "1", "source": "/castiel", "type": kind, "specversion": "1.0"}
    with pytest.raises(HttpResponseError) as failure:
        await topic.send([good, {**good, "id": "2", **flaw}])
    assert failure.value.status_code == 400
    if not CLOUD_ENDPOINT:
        assert published(request.getfixturevalue("emulator"), type=kind) == []


@pytest.mark.filterwarnings(
    "ignore:Sending a large body directly:ResourceWarning"
)  # the SDK's way of sending
async def test_more_than_a_megabyte_is_too_large(topic: EventGridPublisherClient, kind: str) -> None:
    """[limits]: 1 MB a publish request; [post]: 413 beyond it."""
    with pytest.raises(HttpResponseError) as failure:
        await topic.send(CloudEvent(source="/castiel", type=kind, data="x" * 1_100_000))
    assert failure.value.status_code == 413


@emulator_only
async def test_what_was_published_can_be_read_back(emulator: ServerProcess, kind: str) -> None:
    moment = datetime.datetime(2026, 11, 23, 10, 30, tzinfo=datetime.UTC)
    sent = CloudEvent(
        source="/castiel",
        type=kind,
        subject="credentials/1",
        time=moment,
        data={"é": [1, None]},
        extensions={"tenantid": "tenant-1"},
    )
    async with connect(emulator) as client:
        await client.send([sent, CloudEvent(source="/castiel", type=kind, data=b"bytes")])
    first, second = published(emulator, type=kind)
    assert first["id"] == sent.id
    assert first["data"] == {"é": [1, None]}
    assert first["tenantid"] == "tenant-1"
    assert datetime.datetime.fromisoformat(first["time"]) == moment
    assert second["data_base64"] == "Ynl0ZXM="
    assert [event["id"] for event in published(emulator, type=kind, subject="credentials/1")] == [sent.id]
    assert published(emulator, type=kind + ".other") == []


@emulator_only
async def test_reading_goes_on_where_it_stopped(emulator: ServerProcess, kind: str) -> None:
    async with connect(emulator) as client:
        await client.send([CloudEvent(source="/castiel", type=kind, data=each) for each in range(5)])
    page = read_page(emulator, type=kind, limit="3")
    assert [event["data"] for event in page["events"]] == [0, 1, 2]
    assert [event["data"] for event in published(emulator, type=kind, after=str(page["last"]))] == [3, 4]


@emulator_only
async def test_an_ordered_failure_is_retried_by_the_client(emulator: ServerProcess, kind: str) -> None:
    order_fault(emulator, status=503, retryAfter=0.1)
    async with connect(emulator) as client:
        await client.send(CloudEvent(source="/castiel", type=kind, data=1))
    assert len(published(emulator, type=kind)) == 1


@emulator_only
async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, kind: str) -> None:
    with ServerProcess("eventgrid", data=tmp_path) as server:
        async with connect(server) as client:
            await client.send(CloudEvent(source="/castiel", type=kind, data=1))
            server.kill()
            server.restart()
            await client.send(CloudEvent(source="/castiel", type=kind, data=2))
        assert [event["data"] for event in published(server, type=kind)] == [1, 2]
