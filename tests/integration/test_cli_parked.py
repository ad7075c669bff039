"""``castiel conflicts | duplicates | deletions``: what waits for a person, decided over the real stores and queues."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from castiel.bootstrap import Services
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.parked import ParkedConflict
from castiel.domain.shards import Shard
from castiel.services.drafts import PullContext
from tests.support.cli import Cli, Terminal, running_cli
from tests.support.engine import ADA, person, person_schema

pytestmark = [pytest.mark.stack, pytest.mark.slow]

TENANT = "acme"
NINE = datetime(2025, 12, 10, 9, 0, tzinfo=UTC)
RULES = {
    "shardType": "contact",
    "fields": [
        {"fields": ["email"], "weight": 2},
        {"fields": ["lastName"], "weight": 2, "strategy": "fuzzy"},
    ],
    "mergeThreshold": 0.9,
    "reviewThreshold": 0.4,
    "blocking": [{"name": "last", "parts": [{"fields": ["lastName"], "functions": ["text"]}]}],
}


@pytest.fixture(scope="module")
def castiel() -> Iterator[Cli]:
    with running_cli(planted=connect) as cli:
        yield cli


async def connect(services: Services) -> None:
    """Two systems with people: the first asks a person about conflicts."""
    for name, integration in (("crm", "salesforce"), ("mail", "google")):
        await services.stores.schemas.put(person_schema(name, matchRules=RULES))
        await services.stores.connections.create(
            Connection(
                id=name,
                tenant_id=TENANT,
                integration_id=integration,
                credential_id=f"cred-{name}",
                entities=[EntitySync(entity="Person", shard_type="contact", schema_id=name)],
                conflict_policy={"strategy": "manual"},
            )
        )


async def context(services: Services, connection: str, execution: str) -> PullContext:
    found = await services.stores.connections.get(TENANT, connection)
    return await services.engine.context(found, found.entities[0], execution)


async def shard_of(services: Services, connection: str, external_id: str) -> Shard:
    [found] = await services.stores.shards.by_references(
        TENANT, "contact", [f"{connection}|Person|{external_id}"]
    )
    return found


def conflict(castiel: Cli, number: str) -> list[dict[str, Any]]:
    """Somebody whose title and phone were changed here and at the CRM; the parked fields."""
    who = {"firstName": "Ada", "lastName": f"Nr{number}", "email": f"{number}@example.com"}

    async def clash(services: Services) -> None:
        first = await context(services, "crm", f"exec-{number}-1")
        await services.engine.pull(first, [person(number, NINE, **who, title="Countess", phone="+4420001")])
        shard = await shard_of(services, "crm", number)
        here = {"title": "Author", "phone": "+4420002"}
        await services.local_changes.update(TENANT, shard.id, here, correlation_id="by-hand")
        later = person(number, NINE + timedelta(hours=1), **who, title="Analyst", phone="+4420003")
        await services.engine.pull(await context(services, "crm", f"exec-{number}-2"), [later])

    castiel.does(clash)
    listed = castiel.json("conflicts", "list", "-t", TENANT, "--connection", "crm")
    return [each for each in listed if each["externalId"] == number]


def fields_of(castiel: Cli, number: str) -> dict[str, Any]:
    async def read(services: Services) -> dict[str, Any]:
        return (await shard_of(services, "crm", number)).fields

    return castiel.does(read)


def told(castiel: Cli, correlation_id: str) -> dict[str, list[str]]:
    """Who is told of which fields by the messages of one decision."""

    async def take(services: Services) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        async with services.clients.service_bus.get_queue_receiver("sync-outbound") as receiver:
            while messages := await receiver.receive_messages(50, max_wait_time=2):
                for message in messages:
                    await receiver.complete_message(message)
                    if message.correlation_id == correlation_id:
                        body = json.loads(str(message))
                        found.setdefault(body["connectionId"], []).extend(body["changedFields"])
        return found

    return castiel.does(take)


def test_a_record_is_shown_side_by_side_and_its_fields_decided_one_by_one(castiel: Cli) -> None:
    [phone, title] = sorted(conflict(castiel, "1"), key=lambda each: each["field"])
    assert (title["base"], title["local"], title["external"]) == ("Countess", "Author", "Analyst")
    shown = castiel.json("conflicts", "show", title["id"][:12], "-t", TENANT)
    assert [(each["field"], each["local"], each["external"]) for each in shown["fields"]] == [
        ("phone", "+4420002", "+4420003"),
        ("title", "Author", "Analyst"),
    ]
    people = castiel("conflicts", "show", phone["id"][:12], "-t", TENANT).out
    assert "Side by side" in people
    assert "Countess" in people

    unasked = castiel("conflicts", "resolve", title["id"], "-t", TENANT, "--take", "local")
    assert (unasked.code, "--yes" in unasked.err) == (2, True)
    done = castiel.json(
        "conflicts",
        "resolve",
        title["id"],
        "-t",
        TENANT,
        "--field",
        "phone=external",
        "--set",
        "title=Mathematician",
        "--yes",
    )
    assert sorted(done["settled"]) == ["phone", "title"]
    now = fields_of(castiel, "1")
    assert (now["title"], now["phone"]) == ("Mathematician", "+4420003")
    # The CRM has the phone already, and is told of the title alone; the other system knows nothing of this record.
    assert told(castiel, done["correlationId"])["crm"] == ["title"]
    assert castiel("conflicts", "show", title["id"], "-t", TENANT).code == 3


@pytest.mark.parametrize(
    ("number", "way", "title", "left"),
    [
        ("2", ["--take", "local"], "Author", 1),
        ("3", ["--take", "external", "--record"], "Analyst", 0),
        ("4", ["--value", "null"], None, 1),
    ],
)
def test_a_side_or_another_value_settles_a_field_or_the_record(
    castiel: Cli, number: str, way: list[str], title: str | None, left: int
) -> None:
    [one] = [each for each in conflict(castiel, number) if each["field"] == "title"]
    castiel.json("conflicts", "resolve", one["id"], "-t", TENANT, *way, "--yes")
    assert fields_of(castiel, number).get("title") == title
    rest = castiel.json("conflicts", "list", "-t", TENANT)
    assert len([each for each in rest if each["externalId"] == number]) == left


def test_on_a_terminal_each_field_is_asked_for(castiel: Cli) -> None:
    [one, _] = conflict(castiel, "6")
    with Terminal(castiel, "conflicts", "resolve", one["id"][:12], "-t", TENANT) as terminal:
        for prompt, answer in (
            ("or skip [skip]:", "value"),
            ("value:", "+4420009"),
            ("or skip [skip]:", "external"),
            ("[y/N]", "y"),
        ):
            terminal.until(prompt)
            terminal.type(f"{answer}\n")
        assert terminal.ended() == 0, terminal.seen
    now = fields_of(castiel, "6")
    assert (now["phone"], now["title"]) == ("+4420009", "Analyst")


def test_what_cannot_be_meant_is_refused(castiel: Cli) -> None:
    [one] = [each for each in conflict(castiel, "5") if each["field"] == "title"]
    resolve = ("conflicts", "resolve", one["id"], "-t", TENANT, "--yes")
    for wrong in (
        [],
        ["--take", "value"],
        ["--take", "local", "--value", "x"],
        ["--record"],
        ["--field", "shoe=local"],
        ["--field", "title=mine"],
        ["--field", "title=local", "--set", "title=x"],
    ):
        assert castiel(*resolve, *wrong).code == 2, wrong
    assert castiel("conflicts", "resolve", "ffffffff", "-t", TENANT, "--take", "local").code == 3
    assert castiel("conflicts", "show", one["id"], "-t", "globex").code == 3
    several = castiel("conflicts", "show", "", "-t", TENANT)
    assert (several.code, "ids begin so" in several.err) == (2, True)


def pair(castiel: Cli, number: str) -> dict[str, Any]:
    """Two records that may be the same person."""
    who = {**ADA, "lastName": f"Byron{number}"}

    async def meet(services: Services) -> None:
        one = person(f"d{number}", NINE, **{**who, "email": f"d{number}@example.com"})
        await services.engine.pull(await context(services, "crm", f"exec-d{number}"), [one])
        other = person(f"d{number}", NINE, **{**who, "email": f"d{number}@example.org"}, title="Countess")
        await services.engine.pull(await context(services, "mail", f"exec-m{number}"), [other])

    castiel.does(meet)
    found = castiel.json("duplicates", "list", "-t", TENANT)
    [made] = [each for each in found if each["externalId"] == f"d{number}"]
    return dict(made)


def test_a_possible_duplicate_is_explained_and_merged(castiel: Cli) -> None:
    made = pair(castiel, "1")
    shown = castiel.json("duplicates", "show", made["id"][:10], "-t", TENANT)
    assert [each["rule"] for each in shown["explanation"]] == ["email", "lastName"]
    by_name = {each["field"]: each for each in shown["fields"]}
    assert (by_name["email"]["same"], by_name["lastName"]["same"]) == (False, True)
    assert "Why" in castiel("duplicates", "show", made["id"], "-t", TENANT).out
    assert castiel.json("duplicates", "list", "-t", TENANT, "--min-score", "1") == []

    assert castiel("duplicates", "merge", made["id"], "-t", TENANT).code == 2
    merged = castiel.json("duplicates", "merge", made["id"], "-t", TENANT, "--yes")
    assert merged["gone"] in (made["shardId"], made["otherShardId"])

    async def one_record(services: Services) -> tuple[str, str, str]:
        crm, mail = await shard_of(services, "crm", "d1"), await shard_of(services, "mail", "d1")
        return crm.id, mail.id, crm.fields["title"]

    assert castiel.does(one_record) == (merged["shardId"], merged["shardId"], "Countess")
    assert "title" in told(castiel, merged["correlationId"])["crm"]
    assert castiel("duplicates", "merge", made["id"], "-t", TENANT, "--yes").code == 3


def test_a_pair_that_is_kept_apart_is_not_asked_about_again(castiel: Cli) -> None:
    made = pair(castiel, "2")
    castiel.json("duplicates", "keep-apart", made["id"], "-t", TENANT)

    async def again(services: Services) -> list[ParkedConflict]:
        new = {**ADA, "lastName": "Byron2", "email": "d2@example.net"}
        await services.engine.pull(await context(services, "mail", "exec-again"), [person("d2", NINE, **new)])
        return [each async for each in services.conflicts.parked(TENANT) if each.external_id == "d2"]

    assert castiel.does(again) == []


def test_more_deletions_than_a_pass_may_do_by_itself_wait_for_a_word(castiel: Cli) -> None:
    async def vanish(services: Services) -> None:
        schema = person_schema("people")
        schema.tenant_id = "gone"
        await services.stores.schemas.put(schema)
        await services.stores.connections.create(
            Connection(
                id="people",
                tenant_id="gone",
                integration_id="slack",
                credential_id="cred-people",
                entities=[EntitySync(entity="Person", shard_type="contact", schema_id="people")],
            )
        )
        connection = await services.stores.connections.get("gone", "people")
        first = await services.engine.context(connection, connection.entities[0], "exec-1")
        people = [person(str(n), firstName=f"A{n}", lastName=f"B{n}", email=f"{n}@x.org") for n in range(4)]
        await services.engine.pull(first, people)
        # Only what is older than the workers' clocks may differ counts as unseen.
        for number in range(4):
            [shard] = await services.stores.shards.by_references(
                "gone", "contact", [f"people|Person|{number}"]
            )
            for reference in shard.references:
                reference.pulled_at = datetime.now(UTC) - timedelta(hours=1)
            shard.created_at = shard.updated_at = datetime.now(UTC) - timedelta(hours=1)
            await services.stores.shards.save([shard])
        second = await services.engine.context(connection, connection.entities[0], "exec-2")
        begun = await services.deletions.begin(second, datetime.now(UTC))
        await services.engine.pull(second, people[:1])
        seen = await services.deletions.saw(begun, people[:1])
        assert seen is not None
        await services.deletions.end(second, seen, lambda: None)

    castiel.does(vanish)
    [asked] = castiel.json("deletions", "list", "-t", "gone")
    assert (asked["known"], asked["unseen"]) == (4, 3)
    assert castiel("deletions", "confirm", asked["id"], "-t", "gone").code == 2
    done = castiel.json("deletions", "confirm", asked["id"], "-t", "gone", "--yes")
    assert done["deleted"] == 3
    assert castiel.json("deletions", "list", "-t", "gone") == []
    assert castiel("deletions", "decline", asked["id"], "-t", "gone").code == 3
