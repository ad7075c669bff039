"""Times as GitHub writes them: whole seconds in UTC."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from castiel.domain.model import as_utc
from castiel.errors import CursorExpired, MalformedResponse


def parse_moment(text: object) -> datetime:
    """``2011-04-22T13:33:48Z`` as a moment. Raises :class:`MalformedResponse`."""
    if isinstance(text, str):
        with contextlib.suppress(ValueError):
            return as_utc(datetime.fromisoformat(text))
    raise MalformedResponse("a time that can't be read")


def moment_text(moment: datetime) -> str:
    """A moment in GitHub's form, which also sorts by time."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def rewritten(saved: object) -> str | None:
    """A moment of a cursor in GitHub's form. Raises :class:`CursorExpired` for one that can't be read."""
    if saved is None:
        return None
    try:
        return moment_text(parse_moment(saved))
    except MalformedResponse:
        raise CursorExpired("the cursor's time can't be read") from None
