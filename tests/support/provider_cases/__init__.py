"""What the common contract suite has to know of a provider; one module each, found by its name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.sandbox.client import SandboxControl


@dataclass(frozen=True)
class ProviderCase:
    """One provider, by one of its writable entities.

    ``text_field``: a plain text field, as the adapter's records name it. ``edit`` changes it and ``delete`` deletes
    (or archives) a record behind the app's back; ``live`` counts the records that are there. ``new`` are the fields
    of a new record made from a word. ``calls`` is a regular expression for the entity's API calls in the journal.
    ``write_calls`` the same for calls that create or change records.
    """

    integration_id: str
    entity: str
    seed: Mapping[str, int]
    text_field: str
    new: Callable[[str], Mapping[str, Any]]
    edit: Callable[[SandboxControl, str, str], Awaitable[object]]
    delete: Callable[[SandboxControl, str], Awaitable[object]]
    live: Callable[[SandboxControl], Awaitable[int]]
    calls: str
    write_calls: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    small_pages: Mapping[str, Any] = field(default_factory=dict)
    """Settings with which a pass over the seeded records takes several pages."""
    sees_deletions_at_once: bool = True
    """Whether an incremental pass shows a deletion; otherwise a full pass does, by what it doesn't show."""


def load_cases() -> dict[str, ProviderCase]:
    """``CASE`` of every module of this package."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    return {module.CASE.integration_id: module.CASE for module in modules}
