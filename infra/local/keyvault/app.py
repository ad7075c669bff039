"""The vault's HTTP interface (https://learn.microsoft.com/rest/api/keyvault/secrets/operation-groups)."""

from __future__ import annotations

import hmac
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from infra.local.faults import Faults
from infra.local.keyvault.requests import (
    VaultError,
    bad_parameter,
    checked_properties,
    checked_value,
    page_size,
    secret_name,
)
from infra.local.keyvault.store import RETENTION_DAYS, Store, Version
from infra.local.web import json_object

# An unauthenticated call is told where to get a token and for what:
# https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses
_CHALLENGE = (
    'Bearer authorization="https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000", '
    'resource="https://vault.azure.net"'
)
_ERROR_CODES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "SecretNotFound",
    409: "Conflict",
    429: "Throttled",
}


def make_app(store: Store, token: str) -> web.Application:
    """The vault; only calls with the bearer token ``token`` are let in."""
    faults = Faults(_ordered_error)
    app = web.Application(middlewares=[_guard(token), faults.middleware])
    vault = _Vault(store)
    app.add_routes(
        [
            web.put("/secrets/{name}", vault.set),
            web.get("/secrets", vault.list),
            web.get("/secrets/{name}/versions", vault.list_versions),
            web.get("/secrets/{name}", vault.get),
            web.get("/secrets/{name}/{version:[^/]*}", vault.get),
            web.patch("/secrets/{name}/{version:[^/]*}", vault.update),
            web.delete("/secrets/{name}", vault.delete),
            web.get("/deletedsecrets", vault.list_deleted),
            web.get("/deletedsecrets/{name}", vault.get_deleted),
            web.delete("/deletedsecrets/{name}", vault.purge),
            web.post("/deletedsecrets/{name}/recover", vault.recover),
            *faults.routes(),
        ]
    )
    return app


def _guard(token: str) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/_"):
            return await handler(request)
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return _challenge(given)
        try:
            if "api-version" not in request.query:
                raise bad_parameter("api-version must be specified")
            return await handler(request)
        except VaultError as error:
            return error.response()

    return guard


def _challenge(given: str) -> web.Response:
    message = "AKV10032: Invalid issuer." if given else "AKV10000: Request is missing a Bearer or PoP token."
    refused = VaultError(401, "Unauthorized", message).response()
    refused.headers["WWW-Authenticate"] = _CHALLENGE
    return refused


def _ordered_error(status: int) -> dict[str, Any]:
    code = _ERROR_CODES.get(status, "InternalServerError" if status >= 500 else "BadParameter")
    return {"error": {"code": code, "message": f"Ordered failure with status {status}."}}


class _Vault:
    """The operations. Their names are the service's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def set(self, request: web.Request) -> web.Response:
        name, body = secret_name(request), await _body(request)
        value = checked_value(body)
        content_type, tags, attributes = checked_properties(body)
        if self._store.deletion(name) is not None:
            raise VaultError(
                409,
                "Conflict",
                f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; "
                "in this state, the secret can only be recovered or purged.",
                "ObjectIsDeletedButRecoverable",
            )
        stored = self._store.add(name, value, content_type, tags, attributes)
        return web.json_response({"value": value, **_properties(request, stored)})

    async def get(self, request: web.Request) -> web.Response:
        found = self._existing(request)
        if not found.enabled:
            raise VaultError(
                403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled"
            )
        return web.json_response({"value": found.value, **_properties(request, found)})

    async def update(self, request: web.Request) -> web.Response:
        found = self._existing(request)
        changed = self._store.update(found, *checked_properties(await _body(request)))
        return web.json_response(_properties(request, changed))

    async def delete(self, request: web.Request) -> web.Response:
        found = self._existing(request)
        self._store.delete(found.name)
        return web.json_response(self._deleted_properties(request, found))

    async def get_deleted(self, request: web.Request) -> web.Response:
        return web.json_response(self._deleted_properties(request, self._deleted(request)))

    async def purge(self, request: web.Request) -> web.Response:
        self._store.purge(self._deleted(request).name)
        return web.Response(status=204)

    async def recover(self, request: web.Request) -> web.Response:
        found = self._deleted(request)
        self._store.recover(found.name)
        return web.json_response(_properties(request, found))

    async def list(self, request: web.Request) -> web.Response:
        found = self._store.page(request.query.get("$skiptoken", ""), page_size(request))
        return _page(request, [(_properties(request, item, versioned=False), item.name) for item in found])

    async def list_deleted(self, request: web.Request) -> web.Response:
        found = self._store.page(request.query.get("$skiptoken", ""), page_size(request), deleted=True)
        items = [(self._deleted_properties(request, item, versioned=False), item.name) for item in found]
        return _page(request, items)

    async def list_versions(self, request: web.Request) -> web.Response:
        name, after = secret_name(request), request.query.get("$skiptoken", "0")
        if not after.isdecimal():
            raise bad_parameter("The skip token is invalid")
        gone = self._store.deletion(name) is not None
        found = [] if gone else self._store.page_of_versions(name, int(after), page_size(request))
        return _page(request, [(_properties(request, item), str(item.sequence)) for item in found])

    def _existing(self, request: web.Request) -> Version:
        name, version = secret_name(request), request.match_info.get("version", "")
        found = self._store.find(name, version)
        if found is None:
            shown = f"{name}/{version}" if version else name
            raise VaultError(
                404, "SecretNotFound", f"A secret with (name/id) {shown} was not found in this key vault."
            )
        return found

    def _deleted(self, request: web.Request) -> Version:
        name = secret_name(request)
        found = self._store.find(name, deleted=True)
        if found is None:
            raise VaultError(404, "SecretNotFound", f"Deleted Secret not found: {name}")
        return found

    def _deleted_properties(
        self, request: web.Request, found: Version, *, versioned: bool = True
    ) -> dict[str, Any]:
        deleted, purged = self._store.deletion(found.name) or (0, 0)
        return {
            "recoveryId": f"{_vault_url(request)}/deletedsecrets/{found.name}",
            "deletedDate": deleted,
            "scheduledPurgeDate": purged,
            **_properties(request, found, versioned=versioned),
        }


async def _body(request: web.Request) -> dict[str, Any]:
    body = await json_object(request)
    if body is None:
        raise bad_parameter("The request body must be a JSON object")
    return body


def _vault_url(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _properties(request: web.Request, found: Version, *, versioned: bool = True) -> dict[str, Any]:
    """A secret without its value; lists of secrets name it without its version."""
    identifier = f"{_vault_url(request)}/secrets/{found.name}" + (f"/{found.version}" if versioned else "")
    recovery = {"recoveryLevel": "Recoverable+Purgeable", "recoverableDays": RETENTION_DAYS}
    described = {"id": identifier, "attributes": {**found.attributes, **recovery}, "tags": found.tags}
    return described if found.content_type is None else {**described, "contentType": found.content_type}


def _page(request: web.Request, items: list[tuple[dict[str, Any], str]]) -> web.Response:
    """A page and, if it is full, the link to the next one; the token is the place of the page's last item."""
    size, link = page_size(request), None
    if len(items) == size:
        place = {"api-version": request.query["api-version"], "$skiptoken": items[-1][1], "maxresults": size}
        link = f"{_vault_url(request)}{request.path}?{urlencode(place)}"
    return web.json_response({"value": [item for item, _ in items], "nextLink": link})
