"""What people do meanwhile in the three systems and here: contacts made, changed and deleted, and who may say what.

Each person's phone is changed on one side only, so that its last value must win everywhere. The title is changed on
all sides, so that any of its values may win, but the same one everywhere. Those who will be deleted are never changed.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from castiel.errors import CastielError
from tests.faults.random_run.world import SYSTEMS, TENANT, World

Json = dict[str, Any]
LOCAL = "local"
SIDES = (LOCAL, *(system.integration_id for system in SYSTEMS))
BY_ID = {system.integration_id: system for system in SYSTEMS}


def _salesforce(values: Mapping[str, str]) -> Json:
    names = {"lastName": "LastName", "email": "Email", "phone": "Phone", "title": "Title"}
    return {names[name]: value for name, value in values.items()}


def _google(values: Mapping[str, str]) -> Json:
    shapes: dict[str, Callable[[str], Json]] = {
        "lastName": lambda v: {"names": [{"familyName": v}]},
        "email": lambda v: {"emailAddresses": [{"value": v, "type": "work"}]},
        "phone": lambda v: {"phoneNumbers": [{"value": v, "type": "work"}]},
        "title": lambda v: {"organizations": [{"title": v, "type": "work"}]},
    }
    return {key: entry for name, value in values.items() for key, entry in shapes[name](value).items()}


def _notion(values: Mapping[str, str]) -> Json:
    names = {"lastName": "Name", "email": "Email", "phone": "Phone", "title": "Role"}
    return {names[name]: value for name, value in values.items()}


WRITE: Mapping[str, Callable[[Mapping[str, str]], Json]] = {
    "salesforce": _salesforce,
    "google": _google,
    "notion": _notion,
}


def entity_of(side: str) -> str:
    return next(iter(BY_ID[side].entities))


def read(side: str, record: Mapping[str, Any]) -> dict[str, str | None]:
    """The four values of a record as the sandbox itself keeps it."""
    if side == "salesforce":
        return {n: record.get(k) for n, k in zip(NAMES, ("LastName", "Email", "Phone", "Title"), strict=True)}
    if side == "notion":
        return {n: record.get(k) for n, k in zip(NAMES, ("Name", "Email", "Phone", "Role"), strict=True)}
    lists = (
        ("names", "familyName"),
        ("emailAddresses", "value"),
        ("phoneNumbers", "value"),
        ("organizations", "title"),
    )
    return {
        name: (record.get(plural) or [{}])[0].get(member)
        for name, (plural, member) in zip(NAMES, lists, strict=True)
    }


NAMES = ("lastName", "email", "phone", "title")


@dataclass
class Person:
    """One contact that the run made. ``owner``: the side that changes the phone. ``doomed``: to be deleted."""

    name: str
    made_on: str
    owner: str
    doomed: bool
    shard_id: str | None = None
    phones: list[str] = field(default_factory=list)
    """Those that may be the last one: more than one where a write may or may not have happened."""
    titles: list[str | None] = field(default_factory=list)
    created: bool = False
    deleted: bool | None = False
    """None: nobody knows."""
    to_tell: list[tuple[str, str, str]] = field(default_factory=list)
    """Webhooks that must arrive, because no pull would show it: side, record, operation."""


class People:
    """The actor. ``log`` gets a line for each thing done."""

    def __init__(self, world: World, rng: random.Random, log: Callable[[str], None], prefix: str) -> None:
        self._world = world
        self._rng = rng
        self._log = log
        self._prefix = prefix
        self._number = 0
        self.people: list[Person] = []

    async def act(self) -> None:
        """One thing, whatever it is. What can't be done now (a server is gone) is left."""
        action = self._rng.choices(
            (self.create, self.change_phone, self.change_title, self.delete), (3, 4, 4, 2)
        )[0]
        with contextlib.suppress(httpx.HTTPError):
            await action()

    async def create(self) -> None:
        self._number += 1
        name = f"{self._prefix}{self._number}x{self._rng.randrange(10**6):06}"
        side, doomed = self._rng.choice(SIDES), self._rng.random() < 0.3
        person = Person(name, side, self._rng.choice(SIDES), doomed)
        person.phones, person.titles = [self._phone()], ["First"]
        values = {
            "lastName": name,
            "email": f"{name}@example.com",
            "phone": person.phones[0],
            "title": "First",
        }
        self.people.append(person)
        self._log(f"create {name} on {side}{' (doomed)' if doomed else ''}")
        if side == LOCAL:
            try:
                shard = await self._world.services.local_changes.create(
                    TENANT, "contact", values, correlation_id=f"run-{name}", key=name
                )
                person.shard_id = shard.id
                person.created = True
            except CastielError as error:
                # It may have been stored all the same.
                self._log(f"  {name}: {error.code}")
                person.shard_id = f"contact-{name}"
            return
        record = await self._control(side).create(entity_of(side), **WRITE[side](values))
        person.created = True
        await self._perhaps_tell(side, _id(record), "create")

    async def change_phone(self) -> None:
        person = self._pick(lambda p: not p.doomed)
        if person is None:
            return
        phone = self._phone()
        if await self._write(person, person.owner, "phone", phone, person.phones):
            person.phones[:] = [phone]

    async def change_title(self) -> None:
        person = self._pick(lambda p: not p.doomed)
        if person is None:
            return
        side, title = self._rng.choice(SIDES), f"Title {self._rng.randrange(10**6)}"
        await self._write(person, side, "title", title, person.titles)

    async def delete(self) -> None:
        person = self._pick(lambda p: p.doomed and p.deleted is False)
        if person is None:
            return
        side = self._rng.choice(SIDES)
        if side == LOCAL:
            shard_id = await self._shard_id(person)
            if shard_id is None:
                return
            self._log(f"delete {person.name} here")
            try:
                await self._world.services.local_changes.delete(
                    TENANT, shard_id, correlation_id=f"run-{person.name}"
                )
                person.deleted = True
            except CastielError as error:
                person.deleted = None
                self._log(f"  {person.name}: {error.code}")
            return
        record_id = await self._record_id(side, person)
        if record_id is None:
            return
        self._log(f"delete {person.name} on {side}")
        await self._control(side).delete(entity_of(side), record_id)
        person.deleted = True
        if side == "notion":
            person.to_tell.append((side, record_id, "delete"))  # only a full pass would see it
        else:
            await self._perhaps_tell(side, record_id, "delete")

    async def tell_what_must_be_told(self) -> None:
        """Deliver the webhooks that nothing else stands in for, as their sender would, until they are taken."""
        for person in self.people:
            for told in list(person.to_tell):
                side, record_id, operation = told
                if await self._tell(side, record_id, operation):
                    person.to_tell.remove(told)

    async def _write(self, person: Person, side: str, name: str, value: str, possible: list[Any]) -> bool:
        """Set one field on one side. Returns whether it surely happened; what may have is added to ``possible``."""
        if side == LOCAL:
            shard_id = await self._shard_id(person)
            if shard_id is None:
                return False
            possible.append(value)
            self._log(f"{person.name}.{name} = {value} here")
            try:
                await self._world.services.local_changes.update(
                    TENANT, shard_id, {name: value}, correlation_id=f"run-{person.name}"
                )
            except CastielError as error:
                self._log(f"  {person.name}: {error.code}")
                return False
            return True
        record_id = await self._record_id(side, person)
        if record_id is None:
            return False
        possible.append(value)
        self._log(f"{person.name}.{name} = {value} on {side}")
        await self._control(side).edit(entity_of(side), record_id, **WRITE[side]({name: value}))
        await self._perhaps_tell(side, record_id, "update")
        return True

    async def _perhaps_tell(self, side: str, record_id: str, operation: str) -> None:
        if self._rng.random() < 0.5:
            await self._tell(side, record_id, operation)

    async def _tell(self, side: str, record_id: str, operation: str) -> bool:
        ports = self._world.ports
        if side == "google" or not ports:
            return False  # Google has no webhooks for contacts
        return await self._world.tell(
            BY_ID[side], entity_of(side), record_id, operation, self._rng.choice(ports)
        )

    async def _record_id(self, side: str, person: Person) -> str | None:
        """The person's record there, if it has arrived."""
        for record in await self._control(side).records(entity_of(side), limit=1000):
            if read(side, record)["lastName"] == person.name:
                return _id(record)
        return None

    async def _shard_id(self, person: Person) -> str | None:
        if person.shard_id is None:
            try:
                async for shard in self._world.services.stores.shards.changed_since(TENANT, "contact", None):
                    if shard.fields.get("lastName") == person.name and not shard.deleted:
                        person.shard_id = shard.id
            except CastielError:
                return None
        return person.shard_id

    def _pick(self, wanted: Callable[[Person], bool]) -> Person | None:
        found = [person for person in self.people if wanted(person)]
        return self._rng.choice(found) if found else None

    def _phone(self) -> str:
        return f"+1212555{self._rng.randrange(10**4):04}"

    def _control(self, side: str) -> Any:
        return self._world.control(BY_ID[side])


def _id(record: Mapping[str, Any]) -> str:
    return str(record.get("Id") or record.get("resourceName") or record.get("id"))
