"""Partition key values: read from documents and headers, and hashed to the effective partition key (EPK).

A query over a prefix of a hierarchical key reaches the service as a range of EPKs that the SDK computes, so the hash
must be the service's own: MurmurHash3 x64 128 per component, with the two most significant bits cleared. It is what
the Python SDK computes too; the contract suite compares the two through prefix queries.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import orjson

from .errors import PARTITION_KEY_MISMATCH, bad_request
from .values import UNDEFINED

LEVEL_BYTES = 16
"""Length of one component's part of an effective partition key."""

Components = tuple[Any, ...]

_MASK = 0xFFFFFFFFFFFFFFFF
_C1 = 0x87C37B91114253D5
_C2 = 0x4CF5AD432745937F


def document_key(document: dict[str, Any], paths: list[list[str]]) -> Components:
    """The document's partition key, one component per path; a missing property is UNDEFINED. Raises a 400."""
    return tuple(_component(document, path) for path in paths)


def header_key(header: str | None, paths: list[list[str]]) -> Components:
    """The complete partition key a request's header names. Raises a 400 if it is missing or incomplete."""
    if header is None:
        raise bad_request("PartitionKey value must be supplied for this operation.")
    components = parse_header(header)
    if len(components) != len(paths):
        raise bad_request(
            "Partition key provided either doesn't correspond to definition in the collection or doesn't match "
            "partition key field values specified in the document.",
            PARTITION_KEY_MISMATCH,
        )
    return components


def parse_header(header: str) -> Components:
    """The components in an ``x-ms-documentdb-partitionkey`` header, which is a JSON array."""
    try:
        values = orjson.loads(header)
    except orjson.JSONDecodeError:
        raise bad_request(f"Partition key {header} is invalid.") from None
    if not isinstance(values, list):
        raise bad_request(f"Partition key {header} is invalid.")
    return tuple(UNDEFINED if value == {} else _scalar(value) for value in values)


def effective_key(components: Components) -> bytes:
    """The effective partition key, :data:`LEVEL_BYTES` bytes per component of a hierarchical key."""
    return b"".join(_hash(_encode(component)) for component in components)


def effective_keys(components: Components, *, hierarchical: bool) -> bytes:
    """The effective partition key of a container's kind: ``MultiHash`` hashes each level, ``Hash`` the whole."""
    if hierarchical:
        return effective_key(components)
    return _hash(b"".join(_encode(component) for component in components))


def _component(document: dict[str, Any], path: list[str]) -> Any:
    value: Any = document
    for step in path:
        value = value.get(step, UNDEFINED) if isinstance(value, dict) else UNDEFINED
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise bad_request("A partition key value must be a string, a number, a boolean or null.")
    return value


def _encode(value: Any) -> bytes:
    if value is UNDEFINED:
        return b"\x00"
    if value is None:
        return b"\x01"
    if value is False:
        return b"\x02"
    if value is True:
        return b"\x03"
    if isinstance(value, str):
        return b"\x08" + value.encode() + b"\xff"
    return b"\x05" + struct.pack("<d", float(value))


@lru_cache(maxsize=65536)
def _hash(data: bytes) -> bytes:
    low, high = _murmur3_128(data)
    hashed = (high << 64 | low).to_bytes(16, "big")
    return bytes([hashed[0] & 0x3F]) + hashed[1:]


def _murmur3_128(data: bytes) -> tuple[int, int]:
    h1 = h2 = 0
    whole = len(data) & ~15
    for k1, k2 in struct.iter_unpack("<QQ", data[:whole]):
        h1 = ((_rotate(h1 ^ _mix(k1, _C1, 31, _C2), 27) + h2) * 5 + 0x52DCE729) & _MASK
        h2 = ((_rotate(h2 ^ _mix(k2, _C2, 33, _C1), 31) + h1) * 5 + 0x38495AB5) & _MASK
    tail = data[whole:]
    h2 ^= _mix(int.from_bytes(tail[8:], "little"), _C2, 33, _C1)
    h1 ^= _mix(int.from_bytes(tail[:8], "little"), _C1, 31, _C2)
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    h1, h2 = _final(h1), _final(h2)
    h1 = (h1 + h2) & _MASK
    return h1, (h2 + h1) & _MASK


def _mix(k: int, first: int, bits: int, second: int) -> int:
    return _rotate(k * first & _MASK, bits) * second & _MASK


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK


def _final(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _MASK
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return value ^ value >> 33
