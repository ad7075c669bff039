"""Ids of messages that are put back or sent again: none is taken for another, and all fit."""

from __future__ import annotations

import pytest

from castiel.ports.messaging import ReceivedMessage, again_id

MOST = 128
"""Characters: https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement"""


def put_back(message_id: str, times: int) -> list[str]:
    """The ids of the copies that follow."""
    ids = []
    for _ in range(times):
        message_id = ReceivedMessage(b"", message_id).next_id
        ids.append(message_id)
    return ids


def test_each_copy_has_an_id_of_its_own() -> None:
    assert put_back("out:abc", 3) == ["out:abc#1", "out:abc#2", "out:abc#3"]
    assert ReceivedMessage(b"", "out:abc#3").hop == 3


@pytest.mark.parametrize("name", ["out:abc", "wh:" + "x" * 120])
def test_the_copies_of_a_replayed_message_are_not_those_from_before(name: str) -> None:
    before = put_back(name, 5)
    again = again_id(before[-1], "outbound-contact-1")
    after = put_back(again, 5)
    assert again == again_id(before[-1], "outbound-contact-1") != again_id(before[-1], "outbound-contact-2")
    assert not {again, *after} & {name, *before}
    assert len(set(after)) == 5
    assert max(map(len, [again, *before, *after])) <= MOST


def test_what_was_replayed_before_this_rule_keeps_apart_too() -> None:
    """An id that has the old form: its copies were taken for those of the first round, and dropped."""
    assert put_back("out:abc#5:again-17", 2) == ["out:abc#5:again-17#1", "out:abc#5:again-17#2"]
