"""Made-up people as companies' records hold them, with duplicates made by known rules; labelled.

Families share a home, a telephone and a mailbox, and hold what tempts a matcher: twins with neighbouring identity
numbers, a father and a son of one name, siblings with one initial. Colleagues share a company, a street and a
switchboard. Nothing here is taken from the labelled sets the rules are measured on.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from itertools import combinations

Record = dict[str, str]

_FIRST = ["Aaron", "Abigail", "Bernd", "Bianca", "Carlos", "Claire", "Dmitri", "Deepa", "Emeka", "Elena", "Farid", "Fiona", "Giulia", "Gareth", "Hassan", "Helga", "Ingrid", "Ivan", "Jun", "Jana", "Kofi", "Kerstin", "Liam", "Lucia", "Mateo", "Mei", "Nadia", "Nils", "Olga", "Oscar", "Priya", "Pavel", "Quentin", "Rosa", "Rafael", "Saskia", "Sunil", "Tariq", "Theresa", "Ulrike", "Umar", "Vera", "Viktor", "Wanda", "Wei", "Xavier", "Yusuf", "Yvonne", "Zoltan", "Zara"]  # fmt: skip
_LAST = [
    head + tail
    for head in [
        "Ack",
        "Bren",
        "Carl",
        "Dun",
        "El",
        "Fern",
        "Gil",
        "Hart",
        "Ing",
        "Kel",
        "Lind",
        "Mar",
        "Nor",
        "Os",
        "Pem",
        "Rad",
        "Stan",
        "Thorn",
        "Ul",
        "Wes",
    ]
    for tail in [
        "berg",
        "bury",
        "croft",
        "dale",
        "er",
        "field",
        "ford",
        "gate",
        "ham",
        "holm",
        "ing",
        "ington",
        "ley",
        "mann",
        "ow",
        "sen",
        "son",
        "stein",
        "ton",
        "wood",
    ]
]
_STREETS = ["Ash", "Beacon", "Cedar", "Dock", "Elm", "Forge", "Grove", "Harbour", "Iris", "Juniper", "Kiln", "Laurel", "Mill", "North", "Orchard", "Park", "Quarry", "Ridge", "Station", "Temple", "Union", "Vale", "Water", "Yew"]  # fmt: skip
_KINDS = ["Street", "Road", "Avenue", "Lane"]
_CITIES = [
    "Alston",
    "Brackley",
    "Corwen",
    "Dunoon",
    "Epping",
    "Fishguard",
    "Girvan",
    "Helmsley",
    "Ilkley",
    "Jarrow",
]
_COMPANIES = ["Acme", "Borealis", "Cobalt", "Dynamo", "Ember", "Fulcrum", "Granite", "Helix"]


def made_up_people(seed: int, households: int) -> tuple[list[Record], set[tuple[int, int]]]:
    """The records in random order, and the pairs (i < j) that are one person."""
    rng = random.Random(seed)  # noqa: S311 - the same people for the same seed
    people = [person for _ in range(households) for person in _household(rng)]
    people += [person for _ in range(households // 8) for person in _office(rng)]
    labelled = [(number, person) for number, person in enumerate(people)]
    for number, person in enumerate(people):
        if rng.random() < 0.3:
            labelled += [(number, _corrupted(rng, person)) for _ in range(rng.choice([1, 1, 2]))]
    rng.shuffle(labelled)
    same = {(i, j) for (i, (a, _)), (j, (b, _)) in combinations(enumerate(labelled), 2) if a == b}
    return [record for _, record in labelled], same


def _household(rng: random.Random) -> list[Record]:
    last, born = rng.choice(_LAST), rng.randrange(1945, 1980)
    home = {
        "street": f"{rng.randrange(1, 400)} {rng.choice(_STREETS)} {rng.choice(_KINDS)}",
        "city": rng.choice(_CITIES),
        "postalCode": f"{rng.randrange(10000, 99999)}",
        "phone": f"+1 {rng.randrange(200, 999)} 555 {rng.randrange(1000, 9999)}",
    }
    serial = rng.randrange(100_000_000, 899_999_000)
    firsts = rng.sample(_FIRST, 4)
    adults = [
        _resident(rng, home, firsts[n], last, _date(rng, born + 2 * n), serial + rng.randrange(10**6))
        for n in range(2)
    ]
    child_born = _date(rng, born + 28)
    kind = rng.random()
    if kind < 0.25:  # twins
        children = [_resident(rng, home, firsts[2 + n], last, child_born, serial + 7 + n) for n in range(2)]
    elif kind < 0.28:  # a son named for his father
        children = [_resident(rng, home, firsts[0], last, child_born, serial + 7)]
        # Where the birth date of one of them is not known, nobody could tell them apart.
        adults[0]["birthDate"], children[0]["birthDate"] = _date(rng, born), child_born
    else:
        children = [_resident(rng, home, firsts[2], last, child_born, serial + 7)]
    mailbox = f"{last.lower()}{serial % 1000}@example.org"
    everybody = [*adults, *children]
    if rng.random() < 0.3:
        for person in everybody:
            person["email"] = mailbox
    return everybody


def _resident(rng: random.Random, home: Record, first: str, last: str, born: str, number: int) -> Record:
    person = {"firstName": first, "lastName": last, **home}
    if rng.random() < 0.8:
        person["birthDate"] = born
    if rng.random() < 0.4:
        person["nationalId"] = str(number)
    if rng.random() < 0.7:
        person["email"] = f"{first.lower()}.{last.lower()}{rng.randrange(10**4)}@example.org"
    return person


def _office(rng: random.Random) -> list[Record]:
    company, switchboard = (
        rng.choice(_COMPANIES) + str(rng.randrange(100)),
        f"+44 20 {rng.randrange(10**7, 10**8)}",
    )
    street = f"{rng.randrange(1, 90)} {rng.choice(_STREETS)} {rng.choice(_KINDS)}"
    names = {(rng.choice(_FIRST), rng.choice(_LAST)) for _ in range(8)}
    return [
        {
            "firstName": first, "lastName": last, "company": company, "phone": switchboard, "street": street,
            "email": f"{first[0].lower()}.{last.lower()}@{company.lower()}.example" if rng.random() < 0.9 else f"info@{company.lower()}.example",
        }
        for first, last in sorted(names)
    ]  # fmt: skip


def _date(rng: random.Random, year: int) -> str:
    return f"{year}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"


def _corrupted(rng: random.Random, person: Record) -> Record:
    record = dict(person)
    for change in rng.sample(_CHANGES, rng.choice([1, 2, 2, 3])):
        change(rng, record)
    return record


def _slip(*fields: str) -> Callable[[random.Random, Record], None]:
    def change(rng: random.Random, record: Record) -> None:
        present = [name for name in fields if len(record.get(name, "")) > 3]
        if present:
            name = rng.choice(present)
            record[name] = _mistyped(rng, record[name])

    return change


def _mistyped(rng: random.Random, value: str) -> str:
    at = rng.randrange(1, len(value))
    letter = rng.choice(string.digits if value[at].isdigit() else string.ascii_lowercase)
    return rng.choice(
        [
            value[:at] + value[at + 1 :],
            value[:at] + letter + value[at:],
            value[:at] + letter + value[at + 1 :],
            value[: at - 1] + value[at] + value[at - 1] + value[at + 1 :],
        ]
    )


def _swap_names(_rng: random.Random, record: Record) -> None:
    record["firstName"], record["lastName"] = record["lastName"], record["firstName"]


def _day_for_month(_rng: random.Random, record: Record) -> None:
    if "birthDate" in record:
        year, month, day = (record["birthDate"][at] for at in (slice(4), slice(5, 7), slice(8, 10)))
        record["birthDate"] = f"{year}-{day}-{month}"


def _lose(rng: random.Random, record: Record) -> None:
    record.pop(rng.choice(sorted(set(record) - {"firstName", "lastName"})), None)


def _move(rng: random.Random, record: Record) -> None:
    if "city" in record:
        record |= {
            "street": f"{rng.randrange(1, 400)} {rng.choice(_STREETS)} Road",
            "city": rng.choice(_CITIES),
        }
        record["postalCode"] = f"{rng.randrange(10000, 99999)}"


def _marry(rng: random.Random, record: Record) -> None:
    record["lastName"] = rng.choice(_LAST)


def _write_otherwise(_rng: random.Random, record: Record) -> None:
    for name, value in record.items():
        if name in ("firstName", "lastName", "city"):
            record[name] = value.upper()
        elif name == "phone":
            record[name] = value.replace(" ", "-").removeprefix("+1-")
        elif name == "email":
            record[name] = value.replace("@", "+list@").title()


_CHANGES: Sequence[Callable[[random.Random, Record], None]] = (
    _slip("firstName", "lastName"), _slip("street", "city"), _slip("nationalId", "birthDate"), _slip("email", "phone"),
    _swap_names, _day_for_month, _lose, _lose, _move, _marry, _write_otherwise, _write_otherwise,
)  # fmt: skip
