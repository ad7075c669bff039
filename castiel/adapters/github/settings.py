"""A connection's own settings for GitHub, read and checked in one place."""

from __future__ import annotations

import re

from castiel.adapters.http import AccessToken, HttpPool
from castiel.adapters.oauth import ensure_own
from castiel.domain.connections import Connection
from castiel.errors import ConfigurationError

DEFAULT_BASE_URL = "https://api.github.com"
DEFAULT_LOGIN_URL = "https://github.com"
DEFAULT_API_VERSION = "2022-11-28"
DEFAULT_LOOK_BACK_SECONDS = 30
DEFAULT_MUTATION_INTERVAL_SECONDS = 1

ARGUMENTS = {
    "repositories": "the repositories to sync, as a list of owner/name",
    "owner": "instead of repositories: all of this user's or organization's that the account is a member of",
    "defaultRepository": "where new records go that name no repository (default: the only one in repositories)",
    "appSlug": "the GitHub App's name in addresses: events that <appSlug>[bot] caused are our own",
    "installationId": "authenticate as this installation of the app, instead of as a person",
    "scopes": "OAuth scopes asked for, parted by spaces (OAuth apps only; GitHub Apps have permissions)",
    "apiVersion": f"version of the REST API (default {DEFAULT_API_VERSION})",
    "baseUrl": f"address of the REST API (default {DEFAULT_BASE_URL})",
    "loginUrl": f"where people and tokens log in (default {DEFAULT_LOGIN_URL}, or baseUrl if that is set)",
    "mutationIntervalSeconds": "pause between two writes"
    f" (default {DEFAULT_MUTATION_INTERVAL_SECONDS}, as GitHub asks)",
    "lookBackSeconds": "how far each pass looks behind the last one, for replicas that lagged then"
    f" (default {DEFAULT_LOOK_BACK_SECONDS})",
}
"""Connection settings: ``repositories`` or ``owner`` is needed, the others are optional."""

# https://docs.github.com/en/rest/about-the-rest-api/api-versions
_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}")
_OWNER = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})(?:_[A-Za-z0-9]{1,10})?")
_REPOSITORY = re.compile(rf"{_OWNER.pattern}/(?!\.{{1,2}}$)[\w.-]{{1,100}}", re.ASCII)
_OWN_HOSTS = ("github.com", "api.github.com", ".ghe.com")


def base_url(connection: Connection | None) -> str:
    """The REST API's address, without a slash at its end."""
    settings = connection.settings if connection else {}
    return str(settings.get("baseUrl") or DEFAULT_BASE_URL).rstrip("/")


def api_base(connection: Connection, _token: AccessToken) -> str:
    """:func:`base_url`, as a dialect asks for it: a token names no address."""
    return base_url(connection)


def login_url(connection: Connection | None) -> str:
    """Where the OAuth endpoints are, without a slash at its end."""
    settings = connection.settings if connection else {}
    return str(settings.get("loginUrl") or settings.get("baseUrl") or DEFAULT_LOGIN_URL).rstrip("/")


def ensure_github(url: str, http: HttpPool, setting: str) -> str:
    """The URL, if the app's own secrets may go there, whatever a tenant's settings say.

    Hosts are GitHub's own, those of Enterprise Cloud with data residency
    (https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency), and the sandbox.
    Raises :class:`ConfigurationError`.
    """
    return ensure_own(url, http, _OWN_HOSTS, setting=setting, provider="GitHub")


def api_version(connection: Connection) -> str:
    """The pinned API version. Raises :class:`ConfigurationError`."""
    given = str(connection.settings.get("apiVersion") or DEFAULT_API_VERSION)
    if not _API_VERSION.fullmatch(given):
        raise ConfigurationError(f"apiVersion: write it as {DEFAULT_API_VERSION}")
    return given


def repository_names(connection: Connection) -> list[str]:
    """The repositories the connection names, each once. Raises :class:`ConfigurationError`."""
    given = connection.settings.get("repositories") or []
    if not isinstance(given, list):
        raise ConfigurationError("repositories: a list of owner/name is needed")
    return list(dict.fromkeys(repository_name(name, "repositories") for name in given))


def repository_name(given: object, setting: str) -> str:
    """``owner/name``, safe in a path. Raises :class:`ConfigurationError`."""
    if not isinstance(given, str) or not _REPOSITORY.fullmatch(given):
        raise ConfigurationError(f"{setting}: write it as owner/name")
    return given


def owner(connection: Connection) -> str:
    """The owner whose repositories are meant. Raises :class:`ConfigurationError` where nothing says which."""
    given = connection.settings.get("owner")
    if given is None:
        raise ConfigurationError("repositories: name at least one owner/name, or set owner")
    if not isinstance(given, str) or not _OWNER.fullmatch(given):
        raise ConfigurationError("owner: not the name of a GitHub account")
    return given


def installation_id(connection: Connection | None) -> int | None:
    """The app's installation to act as, if one is set. Raises :class:`ConfigurationError`."""
    given = connection.settings.get("installationId") if connection else None
    if given in (None, ""):
        return None
    if isinstance(given, bool) or not str(given).isascii() or not str(given).isdigit():
        raise ConfigurationError("installationId: a number is needed")
    return int(str(given))


def seconds(connection: Connection, name: str, default: float) -> float:
    """A setting that is a number of seconds, 0 or more. Raises :class:`ConfigurationError`."""
    given = connection.settings.get(name, default)
    if isinstance(given, bool) or not isinstance(given, int | float) or given < 0:
        raise ConfigurationError(f"{name}: a number is needed")
    return float(given)
