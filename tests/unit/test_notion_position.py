"""Where a pass over Notion's changes goes on, from one answer to the next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from castiel.adapters.notion.cursor import LAG, Position
from castiel.adapters.notion.fetch import _advance
from castiel.errors import MalformedResponse

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SOURCE = "2f26ee68-df30-4251-aad4-8ddc420cba3d"


def _page(minutes: int) -> dict[str, str]:
    return {"last_edited_time": (NOON + timedelta(minutes=minutes)).isoformat()}


def _at(**given: object) -> Position:
    return Position(source=SOURCE, as_of=NOON + timedelta(hours=1), **given)  # type: ignore[arg-type]


def test_a_saved_position_is_read_back_the_same() -> None:
    position = _at(
        marks={SOURCE: NOON}, full=True, full_pass_at=NOON, started=NOON, since=NOON, start="c", newest=NOON
    )
    assert Position.read(position.saved()) == position
    assert Position.read(Position(marks={}).saved()) == Position(marks={})


@pytest.mark.parametrize(
    ("newest", "mark"),
    [
        (NOON, NOON),
        (NOON + timedelta(minutes=59), NOON + timedelta(hours=1) - LAG),
        (NOON + timedelta(seconds=30), NOON),
        (None, NOON + timedelta(hours=1) - LAG),
    ],
)
def test_the_mark_is_the_newest_change_but_never_within_the_lag(
    newest: datetime | None, mark: datetime
) -> None:
    assert _at(newest=newest).marked().marks == {SOURCE: mark}


def test_a_pass_without_changes_keeps_its_mark() -> None:
    assert _at(marks={SOURCE: NOON}).marked().marks == {SOURCE: NOON}


def test_the_next_query_begins_at_the_last_minute() -> None:
    position, done = _advance(_at(since=NOON), {"has_more": True, "next_cursor": "c"}, [_page(0), _page(1)])
    assert (position.since, position.start, done) == (NOON + timedelta(minutes=1), None, False)


def test_a_crowded_minute_is_followed_by_cursor_and_left_behind() -> None:
    first, _ = _advance(_at(since=NOON), {"has_more": True, "next_cursor": "c"}, [_page(0), _page(0)])
    assert (first.since, first.start) == (NOON, "c")
    second, _ = _advance(first, {"has_more": True, "next_cursor": "d"}, [_page(0), _page(2)])
    assert (second.since, second.start) == (NOON + timedelta(minutes=2), None)


@pytest.mark.parametrize(
    ("body", "minutes"),
    [
        ({"has_more": True, "next_cursor": "c"}, (5, 1)),
        ({"has_more": True, "next_cursor": None}, (9, 9)),
        ({"has_more": True, "next_cursor": "same"}, (9, 9)),
    ],
)
def test_an_answer_that_leads_nowhere_ends_the_pass(
    body: dict[str, object], minutes: tuple[int, int]
) -> None:
    since = NOON + timedelta(minutes=5)
    with pytest.raises(MalformedResponse):
        _advance(_at(since=since, start="same"), body, [_page(minute) for minute in minutes])
