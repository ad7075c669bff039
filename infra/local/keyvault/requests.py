"""What a vault accepts: names, sizes and attributes, refused in the service's own words."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

# https://learn.microsoft.com/azure/key-vault/general/about-keys-secrets-certificates#object-identifiers
_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
# https://learn.microsoft.com/azure/key-vault/secrets/about-secrets: "values ... up to 25k bytes each"
MAX_VALUE_BYTES = 25_600
# https://learn.microsoft.com/azure/key-vault/secrets/about-secrets#secret-tags
_MAX_TAGS, _MAX_TAG_CHARACTERS = 15, 256
# https://learn.microsoft.com/rest/api/keyvault/secrets/get-secrets/get-secrets: "maxresults", 1 to 25
MAX_PAGE = 25

_SETTABLE_ATTRIBUTES = {"enabled": bool, "nbf": int, "exp": int}


class VaultError(Exception):
    """A refusal: status, error code, message and, for some, the inner code that tells the cases apart."""

    def __init__(self, status: int, code: str, message: str, inner: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.inner = inner

    def response(self) -> web.Response:
        """The answer, in the shape of https://learn.microsoft.com/azure/key-vault/general/common-parameters-and-headers."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.inner is not None:
            error["innererror"] = {"code": self.inner}
        return web.json_response({"error": error}, status=self.status)


def bad_parameter(message: str) -> VaultError:
    """A request that is not well formed (400)."""
    return VaultError(400, "BadParameter", message)


def secret_name(request: web.Request) -> str:
    """The name in the path. Raises VaultError 400 if it is not one."""
    name = request.match_info["name"]
    if not _NAME.fullmatch(name):
        raise bad_parameter(f"The request URI contains an invalid name: {name}")
    return name


def checked_value(body: dict[str, Any]) -> str:
    """The secret's value. Raises VaultError 400 if it is missing or too large."""
    value = body.get("value")
    if not isinstance(value, str):
        raise bad_parameter("Property value is invalid or missing")
    if len(value.encode()) > MAX_VALUE_BYTES:
        raise bad_parameter("Secret value exceeds the maximum size of 25 KB")
    return value


def checked_properties(body: dict[str, Any]) -> tuple[str | None, dict[str, str] | None, dict[str, Any]]:
    """Content type, tags and attributes of a body, absent ones as None. Raises VaultError 400."""
    content_type, tags, attributes = body.get("contentType"), body.get("tags"), body.get("attributes") or {}
    if content_type is not None and not (isinstance(content_type, str) and len(content_type) <= 255):
        raise bad_parameter("Property contentType is invalid")
    if tags is not None and not _are_tags(tags):
        raise bad_parameter("Property tags is invalid")
    if not isinstance(attributes, dict):
        raise bad_parameter("Property attributes is invalid")
    given = {name: attributes[name] for name in _SETTABLE_ATTRIBUTES if attributes.get(name) is not None}
    for name, value in given.items():
        if type(value) is not _SETTABLE_ATTRIBUTES[name]:
            raise bad_parameter(f"Property attributes.{name} is invalid")
    return content_type, tags, given


def page_size(request: web.Request) -> int:
    """The page size asked for, 25 if none. Raises VaultError 400 outside 1 to 25."""
    asked = request.query.get("maxresults", str(MAX_PAGE))
    if not asked.isdecimal() or not 1 <= int(asked) <= MAX_PAGE:
        raise bad_parameter(f"maxresults must be between 1 and {MAX_PAGE}")
    return int(asked)


def _are_tags(tags: object) -> bool:
    return (
        isinstance(tags, dict)
        and len(tags) <= _MAX_TAGS
        and all(
            isinstance(value, str) and max(len(key), len(value)) <= _MAX_TAG_CHARACTERS
            for key, value in tags.items()
        )
    )
