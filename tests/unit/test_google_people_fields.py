"""Cards and lists of a contact, both ways."""

from __future__ import annotations

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.adapters.google.people_fields import CARDS, fields_of, marked, marker_of, person_of
from castiel.errors import SchemaMismatch


def entry(primary: bool = False, **values: Any) -> dict[str, Any]:
    return {"metadata": {"primary": primary, "source": {"type": "CONTACT"}}, **values}


def test_the_primary_entry_is_the_card() -> None:
    person = {"emailAddresses": [entry(value="a@x.de"), entry(True, value="b@x.de")]}
    assert fields_of(person)["emailAddress"] == {"value": "b@x.de"}
    assert fields_of({"emailAddresses": [entry(value="a@x.de")]})["emailAddress"] == {"value": "a@x.de"}
    assert fields_of({}) == {}


def test_mobile_and_other_phones_are_told_apart() -> None:
    person = {
        "phoneNumbers": [
            entry(True, value="1", type="mobile"),
            entry(value="2"),
            entry(value="3", type="home"),
        ]
    }
    fields = fields_of(person)
    assert (fields["mobilePhone"]["value"], fields["phoneNumber"]["value"]) == ("1", "2")
    written = person_of({"phoneNumber": {"value": "9"}, "mobilePhone": None}, person)
    assert [one["value"] for one in written["phoneNumbers"]] == ["9", "3"]


def test_a_birthday_without_a_year_is_left_to_the_list() -> None:
    person = {"birthdays": [entry(True, date={"month": 12, "day": 10})]}
    fields = fields_of(person)
    assert fields["birthday"] == {"date": None}
    assert fields["birthdays"] == person["birthdays"]
    assert person_of({"birthday": {"date": "1815-12-10"}}, person)["birthdays"] == [
        {"date": {"year": 1815, "month": 12, "day": 10}, "metadata": {"sourcePrimary": True}}
    ]


def test_what_google_works_out_is_not_sent_back() -> None:
    current = {
        "names": [
            entry(
                True,
                givenName="Ada",
                familyName="Byron",
                displayName="Ada Byron",
                unstructuredName="Ada Byron",
            )
        ],
        "addresses": [entry(True, city="London", formattedValue="London", formattedType="Work", type="work")],
    }
    written = person_of({"name": {"familyName": "King"}, "address": {"city": "Paris"}}, current)
    kept = {"metadata": {"sourcePrimary": True}}
    assert written == {
        "names": [{"givenName": "Ada", "familyName": "King", **kept}],
        "addresses": [{"city": "Paris", "type": "work", **kept}],
    }


def test_an_emptied_card_removes_its_entry_only() -> None:
    current = {"emailAddresses": [entry(True, value="a@x.de", type="work"), entry(value="b@x.de")]}
    written = person_of({"emailAddress": {"value": None}}, current)
    assert [one["value"] for one in written["emailAddresses"]] == ["b@x.de"]
    assert person_of({"emailAddress": {"value": ""}}) == {"emailAddresses": []}


def test_lists_are_taken_as_given_and_cards_are_worked_into_them() -> None:
    given_list = [{"value": "a@x.de"}]
    assert person_of({"emailAddresses": given_list}) == {"emailAddresses": given_list}
    both = person_of({"emailAddresses": given_list, "emailAddress": {"value": "c@x.de"}})
    assert both == {"emailAddresses": [{"value": "c@x.de"}]}
    assert given_list == [{"value": "a@x.de"}]


@pytest.mark.parametrize("fields", [{"shoeSize": 44}, {"name": "Ada"}, {"birthday": {"date": "tomorrow"}}])
def test_what_a_contact_does_not_have_is_refused_without_its_value(fields: dict[str, Any]) -> None:
    with pytest.raises(SchemaMismatch) as raised:
        person_of(fields)
    assert "Ada" not in str(raised.value)
    assert "tomorrow" not in str(raised.value)


def test_the_marker_is_kept_beside_what_others_left() -> None:
    others = {"clientData": [{"key": "other", "value": "1"}, {"key": "castiel", "value": "old"}]}
    person = marked(others, "contact-1")
    assert marker_of(person) == "contact-1"
    assert {"key": "other", "value": "1"} in person["clientData"]
    assert len(person["clientData"]) == 2
    assert marker_of({}) is None


TEXT = st.text(string.ascii_letters, min_size=1, max_size=8)


@given(st.data())
def test_what_is_written_on_a_card_is_read_from_it(data: st.DataObject) -> None:
    card = data.draw(st.sampled_from([card for card in CARDS if card.name != "birthday"]))
    members = [member for member in card.members if member != "type"]
    values = {member: data.draw(TEXT) for member in members}
    others = data.draw(
        st.lists(
            st.fixed_dictionaries({members[0]: TEXT, "type": st.sampled_from(["home", "mobile"])}), max_size=3
        )
    )
    current = {card.plural: [entry(**other) for other in others]}
    written = person_of({card.name: values}, current)
    read = fields_of(written)[card.name]
    assert {member: read[member] for member in members} == values
    assert len(written[card.plural]) in (len(others), len(others) + 1)
