"""The parts of the Service Bus emulator that need no wire: configuration, message sections, deadlines."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from proton import Message

from infra.local.servicebus.config import ConfigError, load_config, parse_duration
from infra.local.servicebus.deadlines import Deadlines
from infra.local.servicebus.message import Content
from infra.local.servicebus.sections import MalformedMessageError, split_batch, split_sections
from tests.support.servicebus import write_config


def test_the_projects_queues_are_within_the_limits_of_microsofts_emulator() -> None:
    queues = {queue.name: queue for queue in load_config()}
    assert set(queues) == {"sync-inbound", "sync-outbound"}
    for queue in queues.values():
        assert queue.lock_seconds == 60
        assert queue.max_delivery_count == 10
        assert queue.detect_duplicates
        assert queue.dead_letter_on_expiration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT1M", timedelta(minutes=1)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "P", "PT", "1M", "PT1X"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration(text)


@pytest.mark.parametrize(
    "properties",
    [
        {"LockDuration": "PT6M"},
        {"LockDuration": "PT0S"},
        {"DefaultMessageTimeToLive": "PT2H"},
        {"DuplicateDetectionHistoryTimeWindow": "PT10M"},
        {"MaxDeliveryCount": 11},
        {"MaxDeliveryCount": 0},
        {"RequiresSession": True},
        {"ForwardTo": "other"},
    ],
)
def test_what_cannot_be_served_is_refused_at_the_start(tmp_path: Path, properties: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="queue-1"):
        load_config(write_config(tmp_path, queue_1=properties))


def test_topics_and_twins_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "Config.json"
    queues = [{"Name": "a"}, {"Name": "A"}]
    for content in (
        {"UserConfig": {"Namespaces": [{"Name": "n", "Topics": [{"Name": "t"}]}]}},
        {"UserConfig": {"Namespaces": [{"Name": "n", "Queues": queues}]}},
        {"Other": 1},
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(ConfigError):
            load_config(path)
    with pytest.raises(ConfigError):
        load_config(tmp_path / "missing.json")


def encoded(**fields: Any) -> bytes:
    return bytes(Message(inferred=True, **fields).encode())


def test_a_batch_is_split_and_a_message_is_not() -> None:
    one, two = encoded(body=b"1", id="a"), encoded(body=b"2" * 300, id="b")
    batch = b"".join(b"\x00\x53\x75\xb0" + len(part).to_bytes(4) + part for part in (one, two))
    assert split_batch(batch) == [one, two]
    assert split_batch(one) == [one]
    text = encoded(body=b"\x00\x53\x75 not an AMQP section")
    assert split_batch(text) == [text]


def test_a_message_is_encoded_as_it_was_but_for_what_the_broker_adds() -> None:
    raw = encoded(
        body=b"body",
        id="id-1",
        ttl=5,
        priority=7,
        annotations={"x-mine": 1},
        properties={"tenant": "t", "n": 2},
    )
    content = Content.parse(raw)
    assert (content.message_id, content.time_to_live) == ("id-1", 5.0)
    content.add_application_properties({"DeadLetterReason": "why"})
    copy = Message()
    copy.decode(content.encode(3, {}))
    assert (copy.body, copy.id, copy.ttl, copy.priority, copy.delivery_count) == (b"body", "id-1", 5.0, 7, 3)
    assert copy.annotations == {"x-mine": 1}
    assert copy.properties == {"tenant": "t", "n": 2, "DeadLetterReason": "why"}


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00",
        b"text",
        b"\x00\x53\x99\x40",
        b"\x00\x53\x75\xa0\x09abc",
        b"\x00\x53\x77\xb0",
        b"\x00\x53\x77\x00\x40",
    ],
)
def test_what_is_no_message_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessageError):
        split_sections(raw)


def test_deadlines_come_in_order_however_often_they_are_moved() -> None:
    chance = random.Random(7)
    deadlines: Deadlines[int] = Deadlines()
    expected: dict[int, float] = {}
    for _ in range(5000):
        key = chance.randrange(200)
        if chance.random() < 0.2:
            deadlines.discard(key)
            expected.pop(key, None)
        else:
            expected[key] = chance.random()
            deadlines.set(key, expected[key])
    assert deadlines.next() == min(expected.values())
    assert deadlines.pop_due(-1.0) is None
    order = []
    while (due := deadlines.pop_due(1.0)) is not None:
        order.append(due)
    assert order == sorted(expected, key=lambda key: (expected[key], key))
    assert deadlines.next() is None
