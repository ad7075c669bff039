"""`POST /v1/data_sources/{id}/query`: one page of results, and cursors that don't last.

Cursors are opaque and belong to their session; one that is unknown is refused. A query shows 10,000 results at most.
Sources: https://developers.notion.com/reference/query-a-data-source,
https://developers.notion.com/guides/data-apis/query-large-data-sources
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from infra.local.sandbox.notion.errors import ApiError, invalid
from infra.local.sandbox.notion.filters import lower_bound, predicate, sort_keys
from infra.local.sandbox.notion.ids import NAME
from infra.local.sandbox.notion.pages import PAGE
from infra.local.sandbox.notion.rendering import TRASH_RENAMED_IN, page
from infra.local.sandbox.notion.schema import Source
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]

_MEMBERS = frozenset({"filter", "sorts", "start_cursor", "page_size", "in_trash", "archived", "result_type"})
_MOST_CURSORS = 1000


@dataclass(frozen=True, slots=True)
class _Open:
    """A cursor: behind which record to go on, how many results were shown, and until when it lasts."""

    behind: tuple[Any, ...]
    shown: int
    until_ms: int


class Queries:
    """The queries of the workspace's one bot."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, _Open] = {}

    def clear(self) -> None:
        """Forget all cursors."""
        self._open.clear()

    def run(self, source: Source, body: JsonObject, version: str, policy: JsonObject) -> JsonObject:
        """The answer. Raises ApiError."""
        _check(body, version)
        hidden: list[str] = policy["hiddenProperties"]
        size = body.get("page_size", 100)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise invalid("body.page_size", "should be a positive integer", size)
        if size > 100:
            raise invalid("body.page_size", "should be ≤ `100`", size)
        cursor = self._cursor(body.get("start_cursor"))
        found = self._matching(source, body, hidden)
        if cursor is not None:
            found = [entry for entry in found if entry[0] > cursor.behind]
        shown = cursor.shown if cursor else 0
        room = max(0, int(policy["queryResultLimit"]) - shown)
        capped = len(found) > room and room <= size
        taken = found[: min(size, room)]
        more = len(found) > len(taken) and not capped
        next_cursor = self._keep(taken[-1][0], shown + len(taken), policy) if more else None
        answer: JsonObject = {
            "object": "list",
            "results": [page(record, source, version, hidden) for _, record in taken],
            "next_cursor": next_cursor,
            "has_more": more,
            "type": "page_or_data_source",
            "page_or_data_source": {},
        }
        if capped:
            reason = "query_result_limit_reached"
            answer["request_status"] = {"type": "incomplete", "incomplete_reason": reason}
        return answer

    def _matching(
        self, source: Source, body: JsonObject, hidden: list[str]
    ) -> list[tuple[tuple[Any, ...], Record]]:
        wanted = body.get("filter")
        test = predicate(source, hidden, wanted) if wanted is not None else None
        trashed = bool(body.get("in_trash", body.get("archived", False)))
        where = "deleted=? AND modified_ms>=? AND json_extract(data, '$.source') COLLATE BINARY = ?"
        records = self._store.find(NAME, PAGE, where, (int(trashed), lower_bound(wanted), source.id))
        if test is not None:
            records = [record for record in records if test(record)]
        keys = sort_keys(source, body.get("sorts"))
        # Without sorts the newest come first; what is equal comes in no order anyone could rely on.
        keys = keys or [(lambda record: record.created_ms, True)]
        entries = [
            ((*(_Backwards(key(r)) if back else key(r) for key, back in keys), r.id), r) for r in records
        ]
        return sorted(entries, key=lambda entry: entry[0])

    def _cursor(self, text: Any) -> _Open | None:
        if text is None:
            return None
        found = self._open.get(text) if isinstance(text, str) else None
        if found is None or found.until_ms <= self._store.clock.now_ms():
            raise ApiError("validation_error", f"The start_cursor provided is invalid: {text}")
        return found

    def _keep(self, behind: tuple[Any, ...], shown: int, policy: JsonObject) -> str:
        until = self._store.clock.now_ms() + int(policy["cursorSeconds"]) * 1000
        name = str(uuid.uuid4())
        self._open[name] = _Open(behind, shown, until)
        while len(self._open) > _MOST_CURSORS:
            del self._open[next(iter(self._open))]
        return name


class _Backwards:
    """A sort key that runs the other way."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Backwards) and bool(self.value == other.value)

    def __lt__(self, other: _Backwards) -> bool:
        return bool(other.value < self.value)

    def __gt__(self, other: _Backwards) -> bool:
        return bool(other.value > self.value)

    def __hash__(self) -> int:
        return hash(self.value)


def _check(body: JsonObject, version: str) -> None:
    for name, value in body.items():
        if name not in _MEMBERS or (name == "archived" and version >= TRASH_RENAMED_IN):
            raise invalid(f"body.{name}", "should be not present", value)
