"""The control API under `/_control/`: what tests and the demo do to a provider behind the app's back.

Every answer is JSON; a control call that makes no sense is answered 400 or 404 with `{"error": text}`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import ValidationError

from infra.local.sandbox.faults import FaultRule
from infra.local.sandbox.playing import Stage
from infra.local.sandbox.provider import ControlError
from infra.local.sandbox.store import Store

JsonObject = dict[str, Any]
_Act = Callable[[Stage, web.Request], Awaitable[Any]]


def control_routes(store: Store, stages: Mapping[str, Stage]) -> list[web.RouteDef]:
    """The routes of the control API over these stages."""

    def act(method: str, path: str, action: _Act) -> web.RouteDef:
        async def handle(request: web.Request) -> web.Response:
            stage = stages.get(request.match_info["provider"])
            if stage is None:
                return _error(f"no provider {request.match_info['provider']!r}", 404)
            try:
                return web.json_response(await action(stage, request))
            except ControlError as error:
                return _error(str(error), error.status)
            except (ValidationError, ValueError) as error:
                return _error(str(error), 400)

        return web.route(method, f"/_control/{{provider}}{path}", handle)

    async def overview(_request: web.Request) -> web.Response:
        counts = {name: store.counts(name) for name in stages}
        return web.json_response({"providers": counts, "clockOffsetMs": store.clock.offset_ms})

    async def clock(request: web.Request) -> web.Response:
        wanted = await _body(request)
        offset = int(wanted.get("offsetMs", store.clock.offset_ms)) + int(wanted.get("advanceMs", 0))
        store.set_clock_offset(offset)
        return web.json_response({"clockOffsetMs": offset, "nowMs": store.clock.now_ms()})

    return [
        web.get("/_control/", overview),
        web.post("/_control/clock", clock),
        act("POST", "/reset", _reset),
        act("POST", "/seed", _seed),
        act("GET", "/counts", _counts),
        act("GET", "/records/{entity}", _list_records),
        act("POST", "/records/{entity}", _create_record),
        act("GET", "/records/{entity}/{id:.+}", _read_record),
        act("PATCH", "/records/{entity}/{id:.+}", _edit_record),
        act("DELETE", "/records/{entity}/{id:.+}", _delete_record),
        act("GET", "/changes", _changes),
        act("GET", "/calls", _calls),
        act("DELETE", "/calls", _clear_calls),
        act("GET", "/faults", _list_faults),
        act("POST", "/faults", _add_fault),
        act("DELETE", "/faults", _clear_faults),
        act("DELETE", "/faults/{id}", _clear_faults),
        act("GET", "/policy", _policy),
        act("PATCH", "/policy", _set_policy),
        act("POST", "/tokens", _grant),
        act("POST", "/tokens/expire", _expire),
        act("POST", "/tokens/revoke", _revoke),
        act("POST", "/events", _send_event),
    ]


# Records -------------------------------------------------------------------------------------------------


async def _reset(stage: Stage, _request: web.Request) -> JsonObject:
    """Forget records, changes, tokens, policy, faults and journal of the provider."""
    stage.provider.reset()
    stage.provider.faults.clear()
    stage.journal.clear()
    return {}


async def _seed(stage: Stage, request: web.Request) -> JsonObject:
    wanted = await _body(request)
    seed = int(wanted.pop("seed", 7))
    return {"seeded": stage.provider.seed({entity: int(n) for entity, n in wanted.items()}, seed)}


async def _counts(stage: Stage, _request: web.Request) -> JsonObject:
    return stage.provider.store.counts(stage.provider.name)


async def _list_records(stage: Stage, request: web.Request) -> JsonObject:
    entity = request.match_info["entity"]
    deleted = request.query.get("deleted") == "true"
    limit, offset = int(request.query.get("limit", "1000")), int(request.query.get("offset", "0"))
    records = stage.provider.plain_list(entity, deleted, limit, offset)
    counts = stage.provider.store.counts(stage.provider.name).get(entity, {"live": 0, "deleted": 0})
    return {"total": counts["live"] + (counts["deleted"] if deleted else 0), "records": records}


async def _create_record(stage: Stage, request: web.Request) -> JsonObject:
    record_id = stage.provider.create_record(request.match_info["entity"], await _body(request))
    return _plain(stage, request.match_info["entity"], record_id)


async def _read_record(stage: Stage, request: web.Request) -> JsonObject:
    return _plain(stage, request.match_info["entity"], request.match_info["id"])


async def _edit_record(stage: Stage, request: web.Request) -> JsonObject:
    entity, record_id = request.match_info["entity"], request.match_info["id"]
    stage.provider.edit_record(entity, record_id, await _body(request))
    return _plain(stage, entity, record_id)


async def _delete_record(stage: Stage, request: web.Request) -> JsonObject:
    entity, record_id = request.match_info["entity"], request.match_info["id"]
    stage.provider.delete_record(entity, record_id)
    return _plain(stage, entity, record_id)


def _plain(stage: Stage, entity: str, record_id: str) -> JsonObject:
    record = stage.provider.plain(entity, record_id)
    if record is None:
        raise ControlError(f"no {entity} {record_id!r}", 404)
    return record


# What happened -------------------------------------------------------------------------------------------


async def _changes(stage: Stage, request: web.Request) -> JsonObject:
    since, entity = int(request.query.get("since", "0")), request.query.get("entity")
    return {"changes": stage.provider.store.changes(stage.provider.name, since, entity)}


async def _calls(stage: Stage, request: web.Request) -> JsonObject:
    status = request.query.get("status")
    calls = stage.journal.matching(
        request.query.get("method"),
        request.query.get("path"),
        int(status) if status else None,
        int(request.query.get("since", "0")),
    )
    limit = int(request.query.get("limit", "10000"))
    return {"count": len(calls), "total": stage.journal.total, "calls": calls[-limit:] if limit else []}


async def _clear_calls(stage: Stage, _request: web.Request) -> JsonObject:
    stage.journal.clear()
    return {}


# Faults, tokens, policy ----------------------------------------------------------------------------------


async def _list_faults(stage: Stage, _request: web.Request) -> JsonObject:
    return {"faults": [rule.model_dump(by_alias=True) for rule in stage.provider.faults.all()]}


async def _add_fault(stage: Stage, request: web.Request) -> JsonObject:
    rule = FaultRule.model_validate_json(await request.read())
    return stage.provider.faults.add(rule).model_dump(by_alias=True)


async def _clear_faults(stage: Stage, request: web.Request) -> JsonObject:
    rule_id = request.match_info.get("id")
    stage.provider.faults.clear(int(rule_id) if rule_id else None)
    return {}


async def _policy(stage: Stage, _request: web.Request) -> JsonObject:
    return stage.provider.policy()


async def _set_policy(stage: Stage, request: web.Request) -> JsonObject:
    return stage.provider.set_policy(await _body(request))


async def _grant(stage: Stage, request: web.Request) -> JsonObject:
    base_url = f"{request.scheme}://{request.host}/{stage.provider.name}"
    return stage.provider.grant(await _body(request), base_url)


async def _expire(stage: Stage, _request: web.Request) -> JsonObject:
    return {"expired": stage.provider.expire_access_tokens()}


async def _revoke(stage: Stage, request: web.Request) -> JsonObject:
    return {"revoked": stage.provider.revoke((await _body(request)).get("token"))}


async def _send_event(stage: Stage, request: web.Request) -> JsonObject:
    """Post an outgoing webhook to `url` and tell what came back; `count` sends the same delivery again."""
    options = await _body(request)
    if "url" not in options:
        raise ControlError("an event needs the url to post it to")
    body, headers = stage.provider.event(options)
    answers = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        for _ in range(int(options.get("count", 1))):
            try:
                async with session.post(options["url"], data=body, headers=headers) as response:
                    answers.append({"status": response.status, "body": await response.text()})
            except (aiohttp.ClientError, TimeoutError) as error:
                answers.append({"status": 0, "body": type(error).__name__})
    return {
        **answers[-1],
        "answers": answers,
        "event": _shown(body),
        "headers": headers,
    }


def _shown(body: bytes) -> Any:
    """What was posted, for people: JSON as such, a form as text."""
    if not body:
        return None
    return json.loads(body) if body.startswith(b"{") else body.decode()


async def _body(request: web.Request) -> JsonObject:
    text = await request.text()
    body = json.loads(text) if text else {}
    if not isinstance(body, dict):
        raise ControlError("the body must be a JSON object")
    return body


def _error(text: str, status: int) -> web.Response:
    return web.json_response({"error": text}, status=status)
