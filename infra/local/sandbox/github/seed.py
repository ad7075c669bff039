"""Sample records: a company's repositories, the people who work on them, their issues and pull requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.sandbox.github.rendering import sha
from infra.local.sandbox.github.tokens import NAME
from infra.local.sandbox.github.world import ISSUE, PULL_REQUEST, REPOSITORY, World
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.sampledata import SampleData, spread_times
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]
OWNER = "octo-org"
REPOSITORIES = ("engine", "website", "docs", "infra", "mobile", "data", "tools", "api")
DEFAULT_REPOSITORY = f"{OWNER}/{REPOSITORIES[0]}"
_LABELS = ("bug", "enhancement", "documentation", "question", "good first issue")
_PARTS = ("login page", "nightly export", "search index", "invoice PDF", "mobile menu", "webhook retries")
_TROUBLES = ("is slow", "fails on Safari", "loses the time zone", "needs a test", "shows the wrong total")
_PEOPLE = 8


def seed_records(world: World, counts: Mapping[str, int], seed: int) -> dict[str, int]:
    """Add that many records of each entity. Raises ControlError for one that is not there."""
    unknown = set(counts) - {ISSUE, PULL_REQUEST, REPOSITORY}
    if unknown:
        raise ControlError(f"no entity {', '.join(sorted(unknown))}")
    data = SampleData(seed)
    with world.store.transaction():
        for _ in range(counts.get(REPOSITORY, 0)):
            ensure_repository(world, len(world.repositories()), data)
        if any(counts.get(entity) for entity in (ISSUE, PULL_REQUEST)):
            ensure_repository(world, 0, data)
        people = [_person(world, data) for _ in range(_PEOPLE)]
        for entity in (ISSUE, PULL_REQUEST):
            _seed_items(world, entity, counts.get(entity, 0), data, people)
    return dict(counts)


def ensure_repository(world: World, index: int, data: SampleData) -> None:
    """The ``index``-th sample repository, if there are not that many yet."""
    if len(world.repositories()) > index:
        return
    name = REPOSITORIES[index] if index < len(REPOSITORIES) else f"service-{index}"
    record = world.create_repository(
        f"{OWNER}/{name}",
        "web",
        description=f"The {name} of Octo Org",
        language=data.dice.choice(("Python", "TypeScript", "Go", None)),
        topics=["sample"],
        stars=data.dice.randrange(0, 90),
    )
    for label in _LABELS:
        world.label(record.id, label)
    world.create_milestone(record.id, "v1.0")


def _person(world: World, data: SampleData) -> str:
    login = data.person().email.split("@")[0].replace(".", "-")
    world.account(login, make=True)
    return login


def _seed_items(world: World, entity: str, count: int, data: SampleData, people: list[str]) -> None:
    if not count:
        return
    try:
        times = spread_times(data.dice, count, world.store.clock.now_ms())
    except ValueError as error:
        raise ControlError(str(error)) from None
    repositories = [record.id for record in world.repositories()]
    records = []
    for index, modified_ms in enumerate(times):
        repository_id = repositories[index % len(repositories)]
        fields = _item(entity, index, data, people, modified_ms)
        record = world.create_item(entity, repository_id, fields, data.dice.choice(people), "web")
        created_ms = modified_ms - data.dice.randrange(0, 60) * 86_400_000
        records.append(Record(record.id, record.data, created_ms, modified_ms))
    world.store.put_many(NAME, entity, records)


def _item(entity: str, index: int, data: SampleData, people: list[str], at_ms: int) -> JsonObject:
    dice = data.dice
    closed = dice.random() < 0.3
    fields: JsonObject = {
        "title": f"{dice.choice(_PARTS).capitalize()} {dice.choice(_TROUBLES)}",
        "body": dice.choice((None, "Seen by a customer.\n\n- [ ] reproduce\n- [ ] fix", "Steps to follow.")),
        "labels": sorted(dice.sample(_LABELS, dice.randrange(0, 3))),
        "assignees": sorted(dice.sample(people, dice.randrange(0, 2))),
        "state": "closed" if closed else "open",
        "closedMs": at_ms if closed else None,
        "comments": dice.randrange(0, 9),
    }
    if entity == ISSUE:
        return fields | {"stateReason": "completed" if closed else None}
    merged = closed and dice.random() < 0.8
    head = f"fix-{sha(str(index))[:7]}"
    return fields | {"head": head, "base": "main", "mergedMs": at_ms if merged else None}
