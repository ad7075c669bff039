"""What a compiled schema consists of: one step for each way a mapping goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from castiel.domain.conversion.paths import Path

Read = Callable[[Any], Any]
"""Gives a field's value from an external record. Raises ``ValueError`` or ``JMESPathError``."""

Write = Callable[[Any, Mapping[str, Any]], Iterable[tuple[Path, Any]]]
"""Gives external fields from a shard field's value and all the shard's fields. Raises like ``Read``."""

Written = tuple[Write, tuple[Path, ...], tuple[Path, ...]]
"""How external fields are written, which they are, and which further shard fields that takes."""


@dataclass(frozen=True, slots=True)
class InboundStep:
    """Fills one shard field."""

    field: str
    path: Path
    read: Read
    required: bool


@dataclass(frozen=True, slots=True)
class OutboundStep:
    """Feeds external fields (``targets``) from one shard field; ``reads`` are all the shard fields it looks at.

    ``default`` is what it writes where the shard has no value. ``where`` is the mapping's name in problems.
    """

    where: str
    field: str
    path: Path
    write: Write
    targets: tuple[Path, ...]
    reads: tuple[Path, ...]
    required: bool
    default: Any


@dataclass(frozen=True, slots=True)
class ConstantStep:
    """Writes a constant when an external record is created."""

    where: str
    target: Path
    value: Any


@dataclass(frozen=True, slots=True)
class DerivedStep:
    """Makes derived shards."""

    shard_type: str
    condition: Callable[[Any], bool]
    items: Callable[[Any], Iterable[Any]]
    key: Read
    inbound: tuple[InboundStep, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A schema, ready to run."""

    inbound: tuple[InboundStep, ...]
    outbound: tuple[OutboundStep, ...]
    constants: tuple[ConstantStep, ...]
    derived: tuple[DerivedStep, ...]
