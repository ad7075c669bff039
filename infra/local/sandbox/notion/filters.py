"""The filter and the sorts of a query.

Sources: https://developers.notion.com/reference/filter-data-source-entries,
https://developers.notion.com/reference/sort-data-source-entries
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from infra.local.sandbox.clock import parse_ms
from infra.local.sandbox.notion.errors import ApiError, invalid
from infra.local.sandbox.notion.rendering import content_of, plain_text
from infra.local.sandbox.notion.schema import Property, Source
from infra.local.sandbox.store import Record

JsonObject = dict[str, Any]
Test = Callable[[Record], bool]

_TIMESTAMPS = ("created_time", "last_edited_time")
_TEXTS = frozenset({"title", "rich_text", "url", "email", "phone_number"})
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000


def predicate(source: Source, hidden: list[str], given: Any, at: str = "body.filter") -> Test:
    """The filter as a predicate. Raises ApiError validation_error."""
    if not isinstance(given, dict):
        raise invalid(at, "should be an object", given)
    for word, join in (("and", all), ("or", any)):
        if word in given:
            parts = given[word]
            if not isinstance(parts, list):
                raise invalid(f"{at}.{word}", "should be an array", parts)
            tests = [predicate(source, hidden, part, f"{at}.{word}[{i}]") for i, part in enumerate(parts)]
            return _joined(join, tests)
    if "timestamp" in given:
        return _timestamp_test(given, at)
    return _property_test(source, hidden, given, at)


def _joined(join: Callable[[Iterable[bool]], bool], tests: list[Test]) -> Test:
    return lambda record: join(test(record) for test in tests)


def lower_bound(given: Any) -> int:
    """Milliseconds before which no record passes a filter that was checked: the search may begin there."""
    if not isinstance(given, dict) or given.get("timestamp") != "last_edited_time":
        return 0
    text = (given.get("last_edited_time") or {}).get("on_or_after")
    return _moment(text)[0] if isinstance(text, str) else 0


def _timestamp_test(given: JsonObject, at: str) -> Test:
    name = given["timestamp"]
    if name not in _TIMESTAMPS or not isinstance(given.get(name), dict):
        raise invalid(f"{at}.{name}", "should be defined")
    condition = _date_condition(given[name], f"{at}.{name}")

    def test(record: Record) -> bool:
        ms = record.created_ms if name == "created_time" else record.modified_ms
        return condition(ms // _MINUTE_MS * _MINUTE_MS)

    return test


def _property_test(source: Source, hidden: list[str], given: JsonObject, at: str) -> Test:
    key = given.get("property")
    prop = source.find(key) if isinstance(key, str) else None
    if prop is None or prop.name in hidden:
        raise ApiError("validation_error", f"Could not find property with name or id: {key}")
    kinds = set(given) - {"property", "type"}
    if len(kinds) != 1 or not isinstance(given[(kind := kinds.pop())], dict):
        raise invalid(at, "should be a property filter", given)
    if kind != prop.type and not {kind, prop.type} <= _TEXTS:
        text = f"database property {prop.type} does not match filter {kind}"
        raise ApiError("validation_error", text)
    return _condition(prop, given[kind], f"{at}.{kind}")


def _condition(prop: Property, given: JsonObject, at: str) -> Test:
    if len(given) != 1:
        raise invalid(at, "should have exactly one condition", given)
    ((name, wanted),) = given.items()
    if prop.type in ("date", "created_time", "last_edited_time") and name not in ("is_empty", "is_not_empty"):
        moment = _date_condition(given, at)
        return lambda record: (ms := _property_ms(record, prop)) is not None and moment(ms)
    compare = _CONDITIONS.get(name)
    if compare is None:
        raise invalid(f"{at}.{name}", "should be not present", wanted)
    return lambda record: compare(_comparable(record, prop), wanted)


def _comparable(record: Record, prop: Property) -> Any:
    content = content_of(record, prop)
    match prop.type:
        case "title" | "rich_text":
            return plain_text(content)
        case "select" | "status":
            return content["name"] if content else None
        case "multi_select":
            return [one["name"] for one in content]
        case "people" | "relation":
            return [one["id"] for one in content]
        case "unique_id":
            return content["number"]
    return content


def _property_ms(record: Record, prop: Property) -> int | None:
    content = content_of(record, prop)
    text = content.get("start") if isinstance(content, dict) else content
    return _moment(text)[0] if text else None


def _date_condition(given: JsonObject, at: str) -> Callable[[int], bool]:
    if len(given) != 1:
        raise invalid(at, "should have exactly one condition", given)
    ((name, text),) = given.items()
    if name not in ("equals", "before", "after", "on_or_before", "on_or_after"):
        raise invalid(f"{at}.{name}", "should be not present", text)
    try:
        first, last = _moment(text)
    except (TypeError, ValueError):
        raise invalid(f"{at}.{name}", "should be a valid ISO 8601 date string", text) from None
    tests: dict[str, Callable[[int], bool]] = {
        "equals": lambda ms: first <= ms <= last,
        "before": lambda ms: ms < first,
        "after": lambda ms: ms > last,
        "on_or_before": lambda ms: ms <= last,
        "on_or_after": lambda ms: ms >= first,
    }
    return tests[name]


def _moment(text: str) -> tuple[int, int]:
    """First and last millisecond of a day, or of a moment."""
    if len(text) == 10:
        start = parse_ms(f"{text}T00:00:00Z")
        return start, start + _DAY_MS - 1
    ms = parse_ms(text if text.endswith("Z") or "+" in text else f"{text}Z")
    return ms, ms


_CONDITIONS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda have, want: bool(have == want),
    "does_not_equal": lambda have, want: bool(have != want),
    "contains": lambda have, want: want in have if isinstance(have, list) else _in(have, want),
    "does_not_contain": lambda have, want: (
        want not in have if isinstance(have, list) else not _in(have, want)
    ),
    "starts_with": lambda have, want: (have or "").lower().startswith(str(want).lower()),
    "ends_with": lambda have, want: (have or "").lower().endswith(str(want).lower()),
    "greater_than": lambda have, want: have is not None and have > want,
    "less_than": lambda have, want: have is not None and have < want,
    "greater_than_or_equal_to": lambda have, want: have is not None and have >= want,
    "less_than_or_equal_to": lambda have, want: have is not None and have <= want,
    "is_empty": lambda have, _: have in (None, "", []),
    "is_not_empty": lambda have, _: have not in (None, "", []),
}


def _in(have: str | None, want: Any) -> bool:
    return str(want).lower() in (have or "").lower()


Key = Callable[[Record], Any]


def sort_keys(source: Source, given: Any) -> list[tuple[Key, bool]]:
    """Key functions with whether they run backwards. Raises ApiError validation_error."""
    if given is None:
        given = []
    if not isinstance(given, list):
        raise invalid("body.sorts", "should be an array", given)
    return [_sort_key(source, one, f"body.sorts[{index}]") for index, one in enumerate(given)]


def _sort_key(source: Source, one: Any, at: str) -> tuple[Key, bool]:
    if not isinstance(one, dict) or one.get("direction") not in ("ascending", "descending"):
        raise invalid(f"{at}.direction", 'should be `"ascending"` or `"descending"`')
    backwards = one["direction"] == "descending"
    if one.get("timestamp") in _TIMESTAMPS:
        created = one["timestamp"] == "created_time"
        return (lambda r: (r.created_ms if created else r.modified_ms) // _MINUTE_MS), backwards
    prop = source.find(str(one.get("property")))
    if prop is None:
        raise ApiError(
            "validation_error", f"Could not find sort property with name or id: {one.get('property')}"
        )

    def key(record: Record) -> Any:
        value = _comparable(record, prop)
        return (value is None, str(value) if not isinstance(value, int | float) else value)

    return key, backwards
