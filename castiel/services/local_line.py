"""The line of one process, for while Redis is gone."""

from __future__ import annotations

from collections.abc import Mapping

from castiel.domain.limits import LINE_GRACE_SECONDS, LINE_WAIT_SECONDS
from castiel.domain.limits import Line as Place
from castiel.domain.tasks import Priority

GRACE_MS = int(LINE_GRACE_SECONDS * 1000)
_BY_URGENCY = (Priority.HIGH, Priority.NORMAL, Priority.LOW)


class LocalLine:
    """Who waits, with the time at which the place lapses, by priority. Times are milliseconds."""

    def __init__(self) -> None:
        self._lapses: dict[Priority, dict[str, int]] = {priority: {} for priority in _BY_URGENCY}

    def due_before(self, priority: Priority, now: int) -> int:
        """How much more urgent work has been told to come back by now."""
        return sum(
            now <= lapse <= now + GRACE_MS
            for urgent in _more_urgent(priority)
            for lapse in self._lapses[urgent].values()
        )

    def join(self, place: Place, now: int, wait: int, limit: int) -> int | None:
        """Milliseconds until its turn, or ``None`` when the line is full."""
        self.prune(now)
        work = place.work or ""
        own = self._lapses[place.priority]
        if work not in own and len(self) >= place.capacity:
            return None
        ahead = sum(len(self._lapses[urgent]) for urgent in _more_urgent(place.priority))
        if work in own:
            ahead += sum(lapse < own[work] for lapse in own.values())
        else:
            ahead += len(own)
        longest = max(wait, int(LINE_WAIT_SECONDS * 1000))
        turn = min(int(wait + ahead * 60_000 / limit), longest)
        own[work] = now + turn + GRACE_MS
        return turn

    def leave(self, place: Place) -> None:
        """Its work goes on."""
        if place.work is not None:
            self._lapses[place.priority].pop(place.work, None)

    def prune(self, now: int) -> None:
        """Forget who did not come back in time."""
        for places in self._lapses.values():
            for work in [work for work, lapse in places.items() if lapse < now]:
                del places[work]

    def counts(self, now: int) -> Mapping[Priority, int]:
        """How much waits, by priority."""
        self.prune(now)
        return {priority: len(places) for priority, places in self._lapses.items()}

    def __len__(self) -> int:
        return sum(len(places) for places in self._lapses.values())


def _more_urgent(priority: Priority) -> tuple[Priority, ...]:
    return _BY_URGENCY[: _BY_URGENCY.index(priority)]
