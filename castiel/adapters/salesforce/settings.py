"""A connection's own settings for Salesforce, read and checked in one place."""

from __future__ import annotations

import re
from typing import Any

from castiel.domain.connections import Connection
from castiel.errors import ConfigurationError

DEFAULT_ENTITIES = ("Account", "Contact", "Opportunity", "Lead")
DEFAULT_API_VERSION = "v62.0"
DEFAULT_EXTERNAL_ID_FIELD = "Castiel_Id__c"
DEFAULT_LOGIN_URL = "https://login.salesforce.com"
DEFAULT_SCOPES = "api id refresh_token"
DEFAULT_SESSION_MINUTES = 120
DEFAULT_LOOK_BACK_SECONDS = 600
PAGE_SIZES = range(200, 2001)

ARGUMENTS = {
    "apiVersion": f"version of the REST API (default {DEFAULT_API_VERSION})",
    "baseUrl": "the org's address, until a token names it",
    "loginUrl": f"where people and tokens log in (default baseUrl, else {DEFAULT_LOGIN_URL})",
    "scopes": f"OAuth scopes asked for, parted by spaces (default {DEFAULT_SCOPES})",
    "sessionMinutes": f"how long an access token is taken to live (default {DEFAULT_SESSION_MINUTES})",
    "externalIdField": f"unique external id field that makes creates repeatable (default {DEFAULT_EXTERNAL_ID_FIELD})",
    "fields": "fields to read per entity, as {entity: [names]} (default: all that can be queried)",
    "pageSize": f"records per page, {PAGE_SIZES.start} to {PAGE_SIZES.stop - 1} (default {PAGE_SIZES.stop - 1})",
    "lookBackSeconds": "how far each pass looks behind the last one, for transactions that were open then"
    f" (default {DEFAULT_LOOK_BACK_SECONDS})",
}
"""Connection settings, all optional."""

_API_VERSION = re.compile(r"v?(\d{2,3})(?:\.0)?")
_NAME = re.compile(r"[A-Za-z]\w{0,79}", re.ASCII)


def api_path(connection: Connection) -> str:
    """``/services/data/v62.0``. Raises :class:`ConfigurationError`."""
    given = str(connection.settings.get("apiVersion") or DEFAULT_API_VERSION)
    match = _API_VERSION.fullmatch(given)
    if match is None:
        raise ConfigurationError("apiVersion: write it as v62.0")
    return f"/services/data/v{match.group(1)}.0"


def external_id_field(connection: Connection) -> str:
    """The field whose value is Castiel's own id of a record. Raises :class:`ConfigurationError`."""
    return _name("externalIdField", connection.settings.get("externalIdField") or DEFAULT_EXTERNAL_ID_FIELD)


def entity_name(entity: str) -> str:
    """An sObject's name, safe in a path and in SOQL. Raises :class:`ConfigurationError`."""
    return _name("entity", entity)


def chosen_fields(connection: Connection, entity: str) -> tuple[str, ...] | None:
    """The fields the connection wants of an entity; ``None`` for all. Raises :class:`ConfigurationError`."""
    chosen = connection.settings.get("fields")
    if not chosen:
        return None
    if not isinstance(chosen, dict):
        raise ConfigurationError("fields: write it as {entity: [names]}")
    names = chosen.get(entity)
    if not names:
        return None
    if not isinstance(names, list):
        raise ConfigurationError(f"fields.{entity}: a list of field names is needed")
    return tuple(_name(f"fields.{entity}", name) for name in names)


def page_size(connection: Connection) -> int:
    """Records per page, kept within what Salesforce allows. Raises :class:`ConfigurationError`."""
    wanted = number(connection, "pageSize", PAGE_SIZES[-1])
    return int(min(max(wanted, PAGE_SIZES[0]), PAGE_SIZES[-1]))


def number(connection: Connection, name: str, default: int) -> float:
    """A setting that is a number, 0 or more. Raises :class:`ConfigurationError`."""
    given = connection.settings.get(name, default)
    if isinstance(given, bool) or not isinstance(given, int | float) or given < 0:
        raise ConfigurationError(f"{name}: a number is needed")
    return float(given)


def _name(setting: str, given: Any) -> str:
    if not isinstance(given, str) or not _NAME.fullmatch(given):
        raise ConfigurationError(f"{setting}: not a Salesforce API name")
    return given
