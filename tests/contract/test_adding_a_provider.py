"""The provider of ``docs/adding-a-provider.md``, built from the page and run against a server that speaks its API."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from castiel.adapters.base import Adapter, Provider, PushRecord
from castiel.adapters.http import ApiClient, HttpPool
from castiel.adapters.registry import load_providers
from castiel.adapters.urls import UrlPolicy, origin_of
from castiel.domain.connections import Connection
from castiel.domain.conversion import ConversionSchema, to_shard
from castiel.domain.credentials import OAuthClient, TokenSecret
from castiel.domain.messages import Operation
from castiel.domain.webhooks import WebhookRequest
from castiel.errors import InvalidWebhook, ReauthRequired, SchemaMismatch
from infra.local.process import CHECKOUT
from tests.support.providers import OpenGate, StaticAuthorizer

pytestmark = pytest.mark.stack

PAGE = CHECKOUT / "docs" / "adding-a-provider.md"
MOST_LINES = 150


def python_of_the_page() -> str:
    return "\n\n".join(
        re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    )


def entry_point_of_the_page() -> str:
    [toml] = re.findall(r"^```toml\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    [line] = [line for line in toml.splitlines() if "=" in line]
    return line.replace('"', "")


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The page's package, installed: its module and its entry point on the path."""
    (tmp_path / "rolodex.py").write_text(python_of_the_page(), encoding="utf-8")
    info = tmp_path / "rolodex-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rolodex\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        f"[castiel.providers]\n{entry_point_of_the_page()}\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "rolodex", raising=False)
    return load_providers().get("rolodex")


@dataclass
class Rolodex:
    """The API, as small as the page needs it."""

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    clock: int = 0
    granted: bool = True

    def save(self, person_id: str, fields: dict[str, Any], *, deleted: bool = False) -> None:
        self.clock += 1
        moment = f"2025-12-10T13:00:{self.clock:02d}+00:00"
        self.people[person_id] = {"id": person_id, "fields": fields, "updatedAt": moment, "deleted": deleted}

    async def listed(self, request: web.Request) -> web.Response:
        since, start, limit = request.query["since"], int(request.query.get("page", 0)), 2
        found = sorted(
            (p for p in self.people.values() if p["updatedAt"] > since),
            key=lambda person: person["updatedAt"],
        )
        page, rest = found[start : start + limit], found[start + limit :]
        until = found[-1]["updatedAt"] if found else since
        return web.json_response(
            {"items": page, "next": str(start + limit) if rest else None, "until": until}
        )

    async def read(self, request: web.Request) -> web.Response:
        person = self.people.get(request.match_info["id"])
        return web.json_response(person) if person else web.json_response({"error": "not_found"}, status=404)

    async def create(self, request: web.Request) -> web.Response:
        fields = await request.json()
        if "name" not in fields:
            return web.json_response({"error": "invalid_field", "fields": ["name"]}, status=400)
        key = request.headers["Idempotency-Key"]
        person_id = self.keys.setdefault(key, f"p{len(self.keys) + 1}")
        if person_id not in self.people:
            self.save(person_id, fields)
        return web.json_response({"id": person_id})

    async def change(self, request: web.Request) -> web.Response:
        person = self.people.get(request.match_info["id"])
        if person is None or person["deleted"]:
            return web.json_response({"error": "not_found"}, status=404)
        deleted = request.method == "DELETE"
        self.save(person["id"], {**person["fields"], **(await request.json())}, deleted=deleted)
        return web.json_response({"id": person["id"]})

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if not self.granted:
            return web.json_response({"error": "invalid_grant"}, status=400)
        assert (form["client_id"], form["client_secret"]) == ("app", "app-secret")
        return web.json_response({"access_token": "renewed", "expires_in": 3600})

    async def me(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != "Bearer good":
            return web.json_response({"error": "unauthorized"}, status=401)
        return web.json_response({"login": "ada"})


@asynccontextmanager
async def running(api: Rolodex, provider: Provider) -> AsyncIterator[tuple[Adapter, HttpPool]]:
    app = web.Application()
    app.add_routes(
        [
            web.get("/people", api.listed),
            web.post("/people", api.create),
            web.get("/people/{id}", api.read),
            web.patch("/people/{id}", api.change),
            web.delete("/people/{id}", api.change),
            web.post("/oauth/token", api.token),
            web.get("/me", api.me),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    pool = HttpPool(UrlPolicy(frozenset({origin_of(url)})))
    connection = Connection(
        id="c", tenant_id="t", integration_id="rolodex", credential_id="k", settings={"baseUrl": url}
    )
    client = ApiClient(pool, connection, provider.adapter.dialect, StaticAuthorizer("good"), OpenGate())
    try:
        yield provider.adapter(connection, client), pool
    finally:
        await pool.aclose()
        await runner.cleanup()


def test_the_page_keeps_its_word_on_length() -> None:
    lines = [
        line
        for line in python_of_the_page().splitlines()
        if line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) < MOST_LINES


async def test_it_is_found_beside_castiels_own(provider: Provider) -> None:
    assert {"salesforce", "rolodex"} <= {each.integration_id for each in load_providers()}


async def test_it_fetches_pages_changes_and_deletions(provider: Provider) -> None:
    api = Rolodex()
    for number in range(5):
        api.save(f"p{number}", {"name": f"Person {number}", "email": f"p{number}@example.com"})
    async with running(api, provider) as (adapter, _):
        pages = [page async for page in adapter.fetch("Person", None)]
        assert [len(page.records) for page in pages] == [2, 2, 1]
        rest = [page async for page in adapter.fetch("Person", pages[0].cursor)]
        assert [r.external_id for page in rest for r in page.records] == ["p2", "p3", "p4"]
        api.save("p1", {"name": "Renamed"})
        api.save("p2", {"name": "Person 2"}, deleted=True)
        changed = [r async for page in adapter.fetch("Person", pages[-1].cursor) for r in page.records]
        assert [(r.external_id, r.deleted) for r in changed] == [("p1", False), ("p2", True)]
        schema = ConversionSchema.model_validate(provider.default_schemas[0])
        assert to_shard(schema, changed[0].fields).fields["name"] == "Renamed"
        assert (await adapter.check()).account == "ada"


async def test_it_pushes_once_and_fails_alone(provider: Provider) -> None:
    api = Rolodex()
    async with running(api, provider) as (adapter, _):
        good = PushRecord("shard-1", Operation.CREATE, {"name": "New"})
        bad = PushRecord("shard-2", Operation.CREATE, {"email": "x@example.com"})
        first, refused, again = await adapter.push("Person", [good, bad, good])
        assert (first.external_id, again.external_id) == ("p1", "p1")
        assert isinstance(refused.error, SchemaMismatch)
        change = PushRecord("shard-1", Operation.UPDATE, {"name": "Changed"}, external_id="p1")
        assert [o.error for o in await adapter.push("Person", [change])] == [None]
        assert (await adapter.get("Person", ["p1", "p9"]))["p1"].fields["name"] == "Changed"
        order = PushRecord("shard-1", Operation.DELETE, {}, external_id="p1")
        assert [o.error for o in await adapter.delete("Person", [order, order])] == [None, None]


async def test_it_refreshes_and_knows_a_dead_grant(provider: Provider) -> None:
    api = Rolodex()
    async with running(api, provider) as (adapter, pool):
        client = OAuthClient(client_id="app", client_secret=SecretStr("app-secret"))
        old = TokenSecret(access_token=SecretStr("old"), refresh_token=SecretStr("kept"))
        token = await provider.oauth.refresh(pool, adapter.connection, client, old)
        assert token.access_token.get_secret_value() == "renewed"
        assert token.refresh_token is not None
        assert token.refresh_token.get_secret_value() == "kept"
        assert token.expiry_time is not None
        api.granted = False
        with pytest.raises(ReauthRequired):
            await provider.oauth.refresh(pool, adapter.connection, client, old)


def test_it_reads_webhooks(provider: Provider) -> None:
    def delivered(body: bytes) -> WebhookRequest:
        return WebhookRequest("reg", "events", {"webhook-id": "d1"}, body)

    delivery = provider.webhooks.parse(delivered(json.dumps({"personId": "p1"}).encode()))
    assert (delivery.delivery_id, delivery.events[0].external_id) == ("d1", "p1")
    for body in (b"{}", b"{", b"", b"[]", b'{"personId": 7}'):
        with pytest.raises(InvalidWebhook, match="personId"):
            provider.webhooks.parse(delivered(body))
