"""Where Google's APIs are, or the one base URL that stands in for all of them."""

from __future__ import annotations

from urllib.parse import quote

from castiel.adapters.urls import origin_of
from castiel.domain.connections import Connection
from castiel.errors import ConfigurationError

ARGUMENTS = {
    "baseUrl": "one address instead of Google's own, for all its APIs (the local sandbox)",
    "calendarId": "the calendar whose events are synced (default: primary, the account's own)",
    "sendUpdates": "whether guests are told of changes to events: none (default), externalOnly or all",
    "pageSize": "records asked for at once (default and most: 1000 contacts, 2500 events)",
    "scopes": "OAuth scopes to ask for, separated by spaces",
}

_PEOPLE = "https://people.googleapis.com"
_WWW = "https://www.googleapis.com"
_TOKEN = "https://oauth2.googleapis.com"  # noqa: S105 - an address
_ACCOUNTS = "https://accounts.google.com"
ORIGINS = frozenset({origin_of(_PEOPLE), origin_of(_WWW)})
"""Where a Google access token may go."""


def _base(connection: Connection | None, own: str) -> str:
    settings = connection.settings if connection else {}
    return str(settings.get("baseUrl") or own).rstrip("/")


def people_url(connection: Connection, path: str) -> str:
    """A method of the People API: ``people_url(connection, "people:batchGet")``."""
    return f"{_base(connection, _PEOPLE)}/v1/{path}"


def calendar_id(connection: Connection) -> str:
    """The calendar that is synced."""
    return str(connection.settings.get("calendarId") or "primary")


def page_size(connection: Connection, most: int) -> int:
    """How many records a page has. Raises :class:`ConfigurationError` for a setting that is no such number."""
    size = connection.settings.get("pageSize", most)
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ConfigurationError("pageSize: a whole number from 1 on")
    return min(size, most)


def events_url(connection: Connection, event_id: str | None = None) -> str:
    """The calendar's events, or one of them."""
    calendar = quote(calendar_id(connection), safe="")
    url = f"{_base(connection, _WWW)}/calendar/v3/calendars/{calendar}/events"
    return url if event_id is None else f"{url}/{quote(event_id, safe='')}"


def watch_url(connection: Connection) -> str:
    """Where a channel that watches the calendar's events is opened."""
    return f"{events_url(connection)}/watch"


def stop_url(connection: Connection) -> str:
    """Where channels are closed."""
    return f"{_base(connection, _WWW)}/calendar/v3/channels/stop"


def batch_url(connection: Connection) -> str:
    """The Calendar API's batch endpoint (``batchPath`` of its discovery document)."""
    return f"{_base(connection, _WWW)}/batch/calendar/v3"


def user_info_url(connection: Connection) -> str:
    """Who a token belongs to."""
    return f"{_base(connection, _WWW)}/oauth2/v2/userinfo"


def revoke_url(connection: Connection | None) -> str:
    """Where a grant is withdrawn."""
    return f"{_base(connection, _TOKEN)}/revoke"


def token_url(connection: Connection | None) -> str:
    """The token endpoint."""
    return f"{_base(connection, _TOKEN)}/token"


def authorize_url(connection: Connection) -> str:
    """Where a person gives consent."""
    return f"{_base(connection, _ACCOUNTS)}/o/oauth2/v2/auth"


def base_url(connection: Connection) -> str:
    """What relative paths would be relative to: all calls name their API's whole address."""
    return _base(connection, _WWW)
