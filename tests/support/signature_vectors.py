"""Reads tests/vectors/signatures/*.json: published examples, each with the page it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from castiel.domain.signatures import PRESETS, Secret, SignatureScheme, parse_jwks, parse_scheme

DIRECTORY = Path(__file__).parent.parent / "vectors" / "signatures"


class Vector(NamedTuple):
    """One example: what arrives, what is known, and the reason it is refused for (or ``valid``)."""

    name: str
    source: str
    scheme: SignatureScheme
    secrets: list[Secret]
    headers: dict[str, str]
    body: bytes
    now: datetime
    result: str


def read_vectors() -> Iterator[Vector]:
    """Every example of every file that holds some."""
    for path in sorted(DIRECTORY.glob("*.json")):
        document = json.loads(path.read_text())
        for entry in document.get("vectors", []):
            yield _vector(path.stem, document["source"], entry)


def read_document(name: str) -> dict[str, Any]:
    """A whole file by its name without the ending."""
    document: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text())
    return document


def _vector(file: str, source: str, entry: dict[str, Any]) -> Vector:
    secrets: list[Secret] = [text.encode() for text in entry.get("secretsText", [])]
    secrets += [bytes.fromhex(text) for text in entry.get("secretsHex", [])]
    secrets += [text.encode() for text in entry.get("publicKeysPem", [])]
    secrets += parse_jwks(entry["jwks"]) if "jwks" in entry else ()
    return Vector(
        name=f"{file}: {entry['name']}",
        source=source,
        scheme=PRESETS[entry["preset"]] if "preset" in entry else parse_scheme(entry["scheme"]),
        secrets=secrets,
        headers=entry["headers"],
        body=bytes.fromhex(entry["bodyHex"]) if "bodyHex" in entry else entry["bodyText"].encode(),
        now=datetime.fromtimestamp(entry.get("now", 0), UTC),
        result=entry["result"],
    )
