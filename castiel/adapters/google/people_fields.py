"""A contact as Castiel's records carry it: the person's own lists, and the main entry of each beside them.

A person has lists of everything (``emailAddresses``, ``names``). Schemas mostly want the one e-mail address and the
one name, and a list can't be written through a plain path: so each record also has *cards* (``emailAddress``,
``name``), and a card that is pushed goes into its list, where the other entries stay as they are.

Source: https://developers.google.com/people/api/rest/v1/people#Person
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from castiel.adapters.google.dialect import objects
from castiel.errors import SchemaMismatch

Json = dict[str, Any]
PERSON_FIELDS = (
    "addresses,biographies,birthdays,clientData,emailAddresses,events,externalIds,memberships,metadata,names,"
    "nicknames,occupations,organizations,phoneNumbers,relations,urls,userDefined"
)
"""What is asked for with every contact. A sync token is good for the mask it was made with only."""

MARKER = "castiel"
"""The key of the clientData entry that says which shard a contact was made from."""

_MOBILE = ("mobile", "workMobile")
_COMPUTED: Mapping[str, tuple[str, ...]] = {
    "names": ("displayName", "displayNameLastFirst", "unstructuredName"),
    "phoneNumbers": ("canonicalForm",),
    "addresses": ("formattedValue",),
}
"""What Google works out from the rest of an entry: sent back, it would contradict a change."""


@dataclass(frozen=True, slots=True)
class Card:
    """The main entry of a list. ``kind``: the type of a new entry; ``types``: only entries of these types count."""

    name: str
    plural: str
    members: tuple[str, ...]
    kind: str | None = None
    types: tuple[str, ...] = ()
    other_than: tuple[str, ...] = ()


CARDS = (
    Card("name", "names", ("givenName", "familyName", "middleName", "honorificPrefix", "honorificSuffix")),
    Card("emailAddress", "emailAddresses", ("value", "type"), "work"),
    Card("phoneNumber", "phoneNumbers", ("value", "type"), "work", other_than=_MOBILE),
    Card("mobilePhone", "phoneNumbers", ("value", "type"), "mobile", types=_MOBILE),
    Card("organization", "organizations", ("name", "title", "department", "jobDescription", "domain"), "work"),
    Card("address", "addresses", ("streetAddress", "extendedAddress", "poBox", "city", "region", "postalCode",
                                  "country", "countryCode", "type"), "work"),
    Card("url", "urls", ("value", "type"), "work"),
    Card("biography", "biographies", ("value",)),
    Card("birthday", "birthdays", ("date",)),
)  # fmt: skip
WRITABLE_LISTS = tuple(name for name in PERSON_FIELDS.split(",") if name != "metadata")


def fields_of(person: Mapping[str, Any]) -> Json:
    """A record's fields: the person's lists, and the cards. Ids, etags and times are not among them."""
    fields: Json = {name: person[name] for name in WRITABLE_LISTS if name in person}
    for card in CARDS:
        entries = objects(person.get(card.plural))
        index = _place(card, entries)
        if index is not None:
            fields[card.name] = {m: entries[index][m] for m in card.members if m in entries[index]}
    if "name" in fields:
        fields["name"]["displayName"] = entries_of(person, "names")[0].get("displayName")
    if "birthday" in fields:
        fields["birthday"] = {"date": _day_text(fields["birthday"].get("date"))}
    return fields


def entries_of(person: Mapping[str, Any], plural: str) -> list[Mapping[str, Any]]:
    """A list's entries, the main one first."""
    entries = objects(person.get(plural))
    return sorted(entries, key=lambda entry: not _is_primary(entry))


def has_cards(fields: Mapping[str, Any]) -> bool:
    """Whether any of a record's fields has to be worked into a list."""
    return any(card.name in fields for card in CARDS)


def person_of(fields: Mapping[str, Any], current: Mapping[str, Any] | None = None) -> Json:
    """The lists to write, for a record's fields. Cards change their entry of the current lists.

    Raises :class:`SchemaMismatch` for fields a contact doesn't have.
    """
    known = {*WRITABLE_LISTS, *(card.name for card in CARDS)}
    unknown = sorted(set(fields) - known)
    if unknown:
        raise SchemaMismatch(f"google has no such field of a contact ({', '.join(unknown[:10])})")
    person: Json = {name: fields[name] or [] for name in WRITABLE_LISTS if name in fields}
    for card in CARDS:
        if card.name in fields:
            entries = person.get(card.plural)
            if entries is None:
                entries = [_kept(card.plural, entry) for entry in objects((current or {}).get(card.plural))]
            person[card.plural] = _with_card(card, entries, fields[card.name])
    return person


def marked(person: Json, key: str) -> Json:
    """The person with the marker of the shard it is made from."""
    others = [entry for entry in objects(person.get("clientData")) if entry.get("key") != MARKER]
    return {**person, "clientData": [*others, {"key": MARKER, "value": key}]}


def marker_of(person: Mapping[str, Any]) -> str | None:
    """The marker a contact carries."""
    for entry in objects(person.get("clientData")):
        if entry.get("key") == MARKER:
            return str(entry.get("value"))
    return None


def _place(card: Card, entries: list[Any]) -> int | None:
    """Where a card's entry is: the primary one of those that count, else the first."""
    fitting = [
        index
        for index, entry in enumerate(entries)
        if (not card.types or entry.get("type") in card.types)
        and entry.get("type") not in (card.other_than or ("",))
    ]
    return next((i for i in fitting if _is_primary(entries[i])), fitting[0] if fitting else None)


def _is_primary(entry: Mapping[str, Any]) -> bool:
    metadata = entry.get("metadata")
    return isinstance(metadata, dict) and bool(metadata.get("primary") or metadata.get("sourcePrimary"))


def _kept(plural: str, entry: Mapping[str, Any]) -> Json:
    computed = ("metadata", "formattedType", *_COMPUTED.get(plural, ()))
    kept = {name: value for name, value in entry.items() if name not in computed}
    return kept | ({"metadata": {"sourcePrimary": True}} if _is_primary(entry) else {})


def _with_card(card: Card, entries: list[Any], given: Any) -> list[Any]:
    index = _place(card, entries)
    entry = dict(entries[index]) if index is not None else ({"type": card.kind} if card.kind else {})
    if given is not None and not isinstance(given, dict):
        raise SchemaMismatch(f"google takes an object here ({card.name})")
    changes = (
        dict.fromkeys(card.members) if given is None else {m: given[m] for m in given if m in card.members}
    )
    if "date" in changes:
        changes["date"] = _day(changes["date"])
    entry = {name: value for name, value in {**entry, **changes}.items() if value not in (None, "")}
    filled = [entry] if set(entry) - {"type", "metadata"} else []
    if index is None:
        return [*entries, *filled]
    return [*entries[:index], *filled, *entries[index + 1 :]]


def _day_text(date: Any) -> str | None:
    """A whole date as text. A birthday without its year is left to the list."""
    if not isinstance(date, dict):
        return None
    parts = [date.get(name) for name in ("year", "month", "day")]
    if not all(isinstance(part, int) and part > 0 for part in parts):
        return None
    return f"{parts[0]:04d}-{parts[1]:02d}-{parts[2]:02d}"


def _day(text: Any) -> Json | None:
    if text in (None, ""):
        return None
    try:
        year, month, day = (int(part) for part in str(text)[:10].split("-"))
    except ValueError:
        raise SchemaMismatch("google takes a date as YYYY-MM-DD (birthday)") from None
    return {"year": year, "month": month, "day": day}
