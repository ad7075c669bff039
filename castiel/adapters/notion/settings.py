"""A connection's own settings for Notion, read and checked in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from castiel.domain.connections import Connection
from castiel.errors import ConfigurationError

DEFAULT_BASE_URL = "https://api.notion.com"
DEFAULT_VERSION = "2025-09-03"
TRASH_RENAMED_IN = "2026-03-11"
"""From this version on ``in_trash`` is the only word for it: ``archived`` is neither taken nor given.

Source: https://developers.notion.com/guides/get-started/upgrade-guide-2026-03-11
"""
DEFAULT_MARKER = "Castiel ID"
DEFAULT_FULL_PASS_HOURS = 24.0

ARGUMENTS = {
    "dataSourceId": "id of the data source, or a list of ids; new pages go to the first",
    "notionVersion": f"version of the API (default {DEFAULT_VERSION}, the oldest that has data sources)",
    "markerProperty": "text property that holds Castiel's own id of a page and makes a retried create safe"
    f" (default {DEFAULT_MARKER}); add it to the data source",
    "fullPassEveryHours": "how often everything is read, which is how pages put in the trash are noticed"
    f" (default {DEFAULT_FULL_PASS_HOURS:g}; 0: never)",
    "baseUrl": f"the API's address (default {DEFAULT_BASE_URL})",
    "authUrl": "where people and tokens log in (default baseUrl)",
}
"""Connection settings. A webhook registration takes ``botId`` and ``dataSourceId``."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def canonical_id(text: object) -> str | None:
    """An id as Notion writes it in answers, lower case with dashes; ``None`` for what is no UUID."""
    try:
        return str(UUID(str(text)))
    except ValueError:
        return None


def data_source_ids(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The connection's data sources, in the order of the setting. Raises :class:`ConfigurationError`."""
    given = settings.get("dataSourceId") or ()
    ids = [canonical_id(one) for one in ([given] if isinstance(given, str) else list(given))]
    if not ids or None in ids:
        raise ConfigurationError("dataSourceId: the id of a data source, or a list of ids, is needed")
    return tuple(dict.fromkeys(one for one in ids if one))


def notion_version(connection: Connection) -> str:
    """The value of the header Notion-Version. Raises :class:`ConfigurationError`."""
    version = str(connection.settings.get("notionVersion") or DEFAULT_VERSION)
    if not _DATE.fullmatch(version) or version < DEFAULT_VERSION:
        raise ConfigurationError(
            f"notionVersion: write it as {DEFAULT_VERSION}; older ones have no data sources"
        )
    return version


def trash_word(connection: Connection) -> str:
    """The body member that puts a page in the trash."""
    return "in_trash" if notion_version(connection) >= TRASH_RENAMED_IN else "archived"


def marker_property(connection: Connection) -> str:
    """The property that holds Castiel's own id of a page."""
    return str(connection.settings.get("markerProperty") or DEFAULT_MARKER)


def full_pass_every(connection: Connection) -> timedelta | None:
    """How old a full pass may get; ``None`` for never another one. Raises :class:`ConfigurationError`."""
    hours = connection.settings.get("fullPassEveryHours", DEFAULT_FULL_PASS_HOURS)
    if isinstance(hours, bool) or not isinstance(hours, int | float) or hours < 0:
        raise ConfigurationError("fullPassEveryHours: a number of hours is needed")
    return timedelta(hours=hours) if hours else None
