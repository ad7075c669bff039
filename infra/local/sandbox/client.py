"""A client of the sandbox's control API, for tests and the demo."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx

JsonObject = dict[str, Any]


class SandboxControl:
    """Steers one provider of a running sandbox. Every method raises httpx.HTTPStatusError when refused.

    `async with SandboxControl("http://127.0.0.1:8090", "salesforce") as org: await org.seed(Contact=150)`
    """

    def __init__(self, base_url: str, provider: str = "salesforce") -> None:
        self.provider = provider
        self.base_url = base_url.rstrip("/")
        # trust_env off: a proxy in the environment has no business between a test and its own machine.
        self._http = httpx.AsyncClient(base_url=f"{self.base_url}/_control", timeout=60, trust_env=False)

    @property
    def url(self) -> str:
        """The provider's base URL: its login host and its API."""
        return f"{self.base_url}/{self.provider}"

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> SandboxControl:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def reset(self) -> None:
        """Forget records, changes, tokens, policy, faults and calls."""
        await self._ask("POST", "/reset")

    async def set_clock(self, *, offset_ms: int | None = None, advance_ms: int = 0) -> JsonObject:
        """Move the sandbox's clock (all providers); `advance_ms` is added to what it is."""
        body: JsonObject = {"advanceMs": advance_ms} | ({} if offset_ms is None else {"offsetMs": offset_ms})
        answer = await self._http.post("/clock", json=body)
        answer.raise_for_status()
        found: JsonObject = answer.json()
        return found

    # Records ---------------------------------------------------------------------------------------------

    async def seed(self, *, seed: int = 7, **counts: int) -> JsonObject:
        """Sample records: `seed(Account=100, Contact=150)`."""
        found: JsonObject = (await self._ask("POST", "/seed", {**counts, "seed": seed}))["seeded"]
        return found

    async def counts(self) -> dict[str, dict[str, int]]:
        """`{"Contact": {"live": 150, "deleted": 0}}`."""
        return await self._ask("GET", "/counts")

    async def records(
        self, entity: str, *, deleted: bool = False, limit: int = 1000, offset: int = 0
    ) -> list[JsonObject]:
        """Records as plain JSON, in order of their last change; with the deleted ones on demand."""
        params = {"deleted": str(deleted).lower(), "limit": limit, "offset": offset}
        found: list[JsonObject] = (await self._ask("GET", f"/records/{entity}", params=params))["records"]
        return found

    async def record(self, entity: str, record_id: str) -> JsonObject:
        """One record, deleted or not."""
        return await self._ask("GET", f"/records/{entity}/{record_id}")

    async def create(self, entity: str, **fields: Any) -> JsonObject:
        """Create behind the app's back; returns the record."""
        return await self._ask("POST", f"/records/{entity}", fields)

    async def edit(self, entity: str, record_id: str, **fields: Any) -> JsonObject:
        """Edit behind the app's back; returns the record."""
        return await self._ask("PATCH", f"/records/{entity}/{record_id}", fields)

    async def delete(self, entity: str, record_id: str) -> JsonObject:
        """Delete behind the app's back; returns the record."""
        return await self._ask("DELETE", f"/records/{entity}/{record_id}")

    # What happened ---------------------------------------------------------------------------------------

    async def changes(self, *, since: int = 0, entity: str | None = None) -> list[JsonObject]:
        """Every write: seq, entity, id, operation, fields (the changed ones), origin, atMs."""
        params = {"since": since} | ({"entity": entity} if entity else {})
        found: list[JsonObject] = (await self._ask("GET", "/changes", params=params))["changes"]
        return found

    async def calls(
        self, *, method: str | None = None, path: str | None = None, status: int | None = None, since: int = 0
    ) -> list[JsonObject]:
        """The journal: seq, at, atMs, method, path, query, status (0: no answer), durationMs, fault."""
        wanted = {"method": method, "path": path, "status": status, "since": since}
        params = {name: value for name, value in wanted.items() if value is not None}
        found: list[JsonObject] = (await self._ask("GET", "/calls", params=params))["calls"]
        return found

    async def clear_calls(self) -> None:
        await self._ask("DELETE", "/calls")

    # Faults, tokens, policy ------------------------------------------------------------------------------

    async def fault(self, kind: str, **options: Any) -> int:
        """Order a fault (see README.md for kinds and options, here in snake_case); returns its id."""
        body = {"kind": kind} | {_camel(name): value for name, value in options.items()}
        return int((await self._ask("POST", "/faults", body))["id"])

    async def faults(self) -> list[JsonObject]:
        """The ordered faults, with how often each was seen and hit."""
        found: list[JsonObject] = (await self._ask("GET", "/faults"))["faults"]
        return found

    async def clear_faults(self, fault_id: int | None = None) -> None:
        await self._ask("DELETE", "/faults" if fault_id is None else f"/faults/{fault_id}")

    async def policy(self, **changes: Any) -> JsonObject:
        """Settings of the account; changes (snake_case) are applied first."""
        if not changes:
            return await self._ask("GET", "/policy")
        return await self._ask("PATCH", "/policy", {_camel(name): value for name, value in changes.items()})

    async def grant(self, **options: Any) -> JsonObject:
        """Tokens as after a consent: the provider's token response. Options: client_id, scope, refresh_token."""
        return await self._ask("POST", "/tokens", {_camel(name): value for name, value in options.items()})

    async def expire_access_tokens(self) -> int:
        return int((await self._ask("POST", "/tokens/expire"))["expired"])

    async def revoke(self, token: str | None = None) -> int:
        """Withdraw one refresh token's grant, or all."""
        return int((await self._ask("POST", "/tokens/revoke", {"token": token}))["revoked"])

    async def send_event(self, url: str, **options: Any) -> JsonObject:
        """Post an outgoing webhook; returns status, body, and what was sent (event, headers)."""
        body = {"url": url} | {_camel(name): value for name, value in options.items()}
        return await self._ask("POST", "/events", body)

    async def _ask(
        self, method: str, path: str, body: JsonObject | None = None, params: JsonObject | None = None
    ) -> JsonObject:
        answer = await self._http.request(method, f"/{self.provider}{path}", json=body, params=params)
        if answer.is_error:
            text = f"{method} {path}: {answer.status_code} {answer.text}"
            raise httpx.HTTPStatusError(text, request=answer.request, response=answer)
        found: JsonObject = answer.json()
        return found


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
