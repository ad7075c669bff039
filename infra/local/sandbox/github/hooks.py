"""A repository's webhooks: created, deleted, and their configuration changed.

Source: https://docs.github.com/en/rest/repos/webhooks
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from infra.local.sandbox.github.api import Call, answer
from infra.local.sandbox.github.errors import ApiError, not_found
from infra.local.sandbox.github.tokens import NAME
from infra.local.sandbox.store import Record, Store

JsonObject = dict[str, Any]
_FIRST_ID = 12_345_678
_CONFIG = {"url": (str,), "content_type": (str,), "secret": (str,), "insecure_ssl": (str, int)}


def hook_secret(store: Store, hook_id: object) -> str | None:
    """What GitHub signs this hook's deliveries with."""
    held = store.document(NAME, "hook", str(hook_id))
    return held["config"].get("secret") if held else None


class Hooks:
    """The endpoints. A secret is never shown again: GitHub answers with stars."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, call: Call, repository: Record) -> web.Response:
        body = await call.checked({"name": (str,), "config": (dict,), "events": (list,), "active": (bool,)})
        hooks = self._store.documents(NAME, "hook")
        url = (body.get("config") or {}).get("url")
        if any(
            held["repository"] == repository.id and held["config"].get("url") == url
            for held in hooks.values()
        ):
            taken = {
                "resource": "Hook",
                "code": "custom",
                "message": "Hook already exists on this repository",
            }
            raise ApiError(422, "Validation Failed", [taken])
        number = str(max([_FIRST_ID, *(int(name) + 1 for name in hooks)]))
        hook = {
            "repository": repository.id,
            "config": {"content_type": "form", "insecure_ssl": "0", **(body.get("config") or {})},
            "events": body.get("events") or ["push"],
            "active": body.get("active", True),
        }
        self._store.put_document(NAME, "hook", number, hook)
        shown = {
            "type": "Repository",
            "id": int(number),
            "name": "web",
            **hook,
            "config": _shown(hook["config"]),
        }
        del shown["repository"]
        return answer(shown, status=201)

    async def delete(self, call: Call, repository: Record) -> web.Response:
        number = call.request.match_info["hook"]
        hook = self._store.document(NAME, "hook", number)
        if hook is None or hook["repository"] != repository.id:
            raise not_found()
        self._store.remove_document(NAME, "hook", number)
        return web.Response(status=204)

    async def configure(self, call: Call, repository: Record) -> web.Response:
        number = call.request.match_info["hook"]
        hook = self._store.document(NAME, "hook", number)
        if hook is None or hook["repository"] != repository.id:
            raise not_found()
        hook["config"] |= await call.checked(_CONFIG)
        self._store.put_document(NAME, "hook", number, hook)
        return answer(_shown(hook["config"]))


def _shown(config: JsonObject) -> JsonObject:
    return config | ({"secret": "********"} if config.get("secret") else {})
