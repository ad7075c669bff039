"""Sample people, channels and what was said in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.sampledata import SampleData, spread_times
from infra.local.sandbox.slack.names import (
    ADMIN_ID,
    APP_ID,
    BOT_ID,
    BOT_USER_ID,
    ENTITIES,
    NAME,
    TEAM_ID,
    make_id,
    message_id,
)
from infra.local.sandbox.slack.shapes import new_profile, person, text_blocks
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]

_TOPICS = (
    "sales",
    "support",
    "engineering",
    "design",
    "finance",
    "hiring",
    "launch",
    "office",
    "random",
    "ops",
)
_SAID = (
    "The offer for {} went out this morning.",
    "Could somebody call {} back today?",
    "Minutes of the meeting with {} are in the folder.",
    "{} asks for the delivery date.",
    "Good news: {} signed.",
)


def ensure_own_users(store: Store) -> None:
    """The owner who installed the app, and the app's own bot user: every workspace has them."""
    long_ago = store.clock.now_ms() - 400 * 86_400_000
    if store.get(NAME, "User", ADMIN_ID) is None:
        profile = new_profile("Olivia", "Owner", "owner@castiel.example.com", title="Operations")
        data = person("owner", profile, is_admin=True, is_owner=True, is_primary_owner=True)
        store.put(NAME, "User", Record(ADMIN_ID, data, long_ago, long_ago))
    if store.get(NAME, "User", BOT_USER_ID) is None:
        profile = new_profile("castiel", "", "", api_app_id=APP_ID, bot_id=BOT_ID, always_active=True)
        store.put(
            NAME, "User", Record(BOT_USER_ID, person("castiel", profile, is_bot=True), long_ago, long_ago)
        )


def seed_records(store: Store, counts: Mapping[str, int], seed: int) -> dict[str, int]:
    """Add that many of each. Messages need a channel: without one, #general is made. Raises ControlError."""
    unknown = set(counts) - set(ENTITIES)
    if unknown:
        raise ControlError(f"no entity {', '.join(sorted(unknown))}")
    data = SampleData(seed)
    with store.transaction():
        ensure_own_users(store)
        for entity, make in (("User", _users), ("Channel", _channels), ("Message", _messages)):
            count = counts.get(entity, 0)
            if count:
                store.put_many(NAME, entity, make(store, data, count))
    return dict(counts)


def _times(store: Store, data: SampleData, count: int) -> list[int]:
    try:
        times = spread_times(data.dice, count, store.clock.now_ms())
    except ValueError as error:
        raise ControlError(str(error)) from None
    return times


def _users(store: Store, data: SampleData, count: int) -> list[Record]:
    first = store.next_number(f"{NAME}:User", count)
    records = []
    for number, ms in enumerate(_times(store, data, count), first):
        human = data.person()
        profile = new_profile(
            human.first_name, human.last_name, human.email, title=human.title, phone=human.phone
        )
        user = person(human.email.partition("@")[0], profile)
        records.append(Record(make_id("User", number), user, ms - 86_400_000, ms))
    return records


def _channels(store: Store, data: SampleData, count: int) -> list[Record]:
    first = store.next_number(f"{NAME}:Channel", count)
    records = []
    for number, ms in enumerate(_times(store, data, count), first):
        name = "general" if number == 1 else f"{data.dice.choice(_TOPICS)}-{number}"
        said = {"creator": ADMIN_ID, "last_set": ms // 1000}
        channel = {
            "name": name,
            "is_general": number == 1,
            "is_private": False,
            "is_member": True,
            "num_members": data.dice.randrange(2, 80),
            "creator": ADMIN_ID,
            "topic": {"value": f"All about {name}", **said},
            "purpose": {"value": "", "creator": "", "last_set": 0},
            "previous_names": [],
        }
        records.append(Record(make_id("Channel", number), channel, ms - 86_400_000, ms))
    return records


def _messages(store: Store, data: SampleData, count: int) -> list[Record]:
    if not store.find(NAME, "Channel", "deleted=0", (), "LIMIT 1"):
        store.put_many(NAME, "Channel", _channels(store, data, 1))
    where = "deleted=0 AND json_extract(data, '$.is_member')=1"
    channels = [record.id for record in store.find(NAME, "Channel", where, (), "ORDER BY id")]
    authors = [r.id for r in store.find(NAME, "User", "deleted=0 AND id!=?", (BOT_USER_ID,), "ORDER BY id")]
    records = []
    for ms in _times(store, data, count):
        ts = f"{ms // 1000}.{data.dice.randrange(0, 10**6):06d}"
        text = data.dice.choice(_SAID).format(data.company().name)
        channel = data.dice.choice(channels)
        message = {
            "channel": channel,
            "type": "message",
            "user": data.dice.choice(authors),
            "text": text,
            "ts": ts,
            "team": TEAM_ID,
            "client_msg_id": f"{data.dice.getrandbits(128):032x}",
            "blocks": text_blocks(text, ts),
        }
        records.append(Record(message_id(channel, ts), message, ms, ms))
    return records
