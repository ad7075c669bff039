"""Partial document update.

Source: https://learn.microsoft.com/azure/cosmos-db/partial-document-update (operations and their limits: ten per
request; ids, partition keys and system properties cannot be changed).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import CosmosError, bad_request

MAX_OPERATIONS = 10


def apply_patch(document: dict[str, Any], operations: Any) -> None:
    """Carry out the operations on the document, in order, in place. Raises a 400 at the first that cannot be."""
    if not isinstance(operations, list) or not operations:
        raise bad_request("A patch needs a list of operations.")
    if len(operations) > MAX_OPERATIONS:
        raise bad_request(f"The number of patch operations can't exceed '{MAX_OPERATIONS}'.")
    for operation in operations:
        kind = operation.get("op")
        if kind not in _OPERATIONS:
            raise bad_request(f"Patch operation '{kind}' is not supported.")
        _OPERATIONS[kind](document, operation)


def _add(document: dict[str, Any], operation: dict[str, Any]) -> None:
    _put(document, _path(operation), _value(operation), insert=True)


def _set(document: dict[str, Any], operation: dict[str, Any]) -> None:
    _put(document, _path(operation), _value(operation), insert=False)


def _replace(document: dict[str, Any], operation: dict[str, Any]) -> None:
    path = _path(operation)
    _get(document, path)
    _put(document, path, _value(operation), insert=False)


def _remove(document: dict[str, Any], operation: dict[str, Any]) -> None:
    _take(document, _path(operation))


def _increment(document: dict[str, Any], operation: dict[str, Any]) -> None:
    path, amount = _path(operation), _value(operation)
    if not _is_number(amount):
        raise bad_request("The value of an 'incr' operation must be a number.")
    parent = _get(document, path[:-1])
    if isinstance(parent, dict) and path[-1] not in parent:
        parent[path[-1]] = amount
        return
    old = _get(document, path)
    if not _is_number(old):
        raise bad_request(f"The property '{'/'.join(path)}' to increment is not a number.")
    _put(document, path, old + amount, insert=False)


def _move(document: dict[str, Any], operation: dict[str, Any]) -> None:
    source, target = _split(operation.get("from")), _path(operation)
    if target[: len(source)] == source:
        raise bad_request("A 'move' cannot target a child of its source.")
    _put(document, target, _take(document, source), insert=True)


_OPERATIONS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "add": _add,
    "set": _set,
    "replace": _replace,
    "remove": _remove,
    "incr": _increment,
    "move": _move,
}


def _path(operation: dict[str, Any]) -> list[str]:
    return _split(operation.get("path"))


def _split(pointer: Any) -> list[str]:
    if not isinstance(pointer, str) or not pointer.startswith("/") or pointer == "/":
        raise bad_request(f"The patch path '{pointer}' is invalid.")
    path = [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]
    if path[0] in ("id", "_rid", "_self", "_etag", "_ts", "_attachments"):
        raise bad_request(f"Cannot perform patch operation on the system property '{pointer}'.")
    return path


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise bad_request(f"The patch operation on '{operation.get('path')}' has no value.")
    return operation["value"]


def _get(document: Any, path: list[str]) -> Any:
    node = document
    for step in path:
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and _index(step, len(node) - 1) is not None:
            node = node[int(step)]
        else:
            raise _missing(path)
    return node


def _put(document: dict[str, Any], path: list[str], value: Any, *, insert: bool) -> None:
    parent, last = _get(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
        return
    if not isinstance(parent, list):
        raise _missing(path)
    place = len(parent) if last == "-" else _index(last, len(parent))
    if place is None:
        raise _missing(path)
    if insert or place == len(parent):
        parent.insert(place, value)
    else:
        parent[place] = value


def _take(document: dict[str, Any], path: list[str]) -> Any:
    value = _get(document, path)
    parent = _get(document, path[:-1])
    parent.pop(int(path[-1]) if isinstance(parent, list) else path[-1])
    return value


def _index(step: str, most: int) -> int | None:
    return int(step) if step.isascii() and step.isdigit() and int(step) <= most else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _missing(path: list[str]) -> CosmosError:
    return bad_request(
        f"For the patch operation, the path '/{'/'.join(path)}' does not exist in the document."
    )
