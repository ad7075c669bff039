"""The HTTP side: the functions' routes, and the few admin endpoints that work without keys under ``func start``."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import SimpleCookie

from aiohttp import web
from azure.functions.meta import Datum, get_binding_registry

from infra.local.host.indexing import IndexedFunction
from infra.local.host.invoker import Invoker, Outcome
from infra.local.host.routes import RouteTable
from infra.local.host.wire import HttpCall, http_datum

logger = logging.getLogger("infra.local.host")

# https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger#limits
MAX_BODY_BYTES = 104_857_600

RunOnDemand = Callable[[str], Awaitable[Outcome]]


class HttpServer:
    """Serves on one port until stopped; ``run_on_demand`` maps the timers' names to what runs them now."""

    def __init__(
        self,
        routes: RouteTable,
        invoker: Invoker,
        functions: Mapping[str, IndexedFunction],
        run_on_demand: Mapping[str, RunOnDemand],
    ) -> None:
        self._routes = routes
        self._invoker = invoker
        self._functions = functions
        self._run_on_demand = run_on_demand
        self._background: set[asyncio.Task[Outcome]] = set()
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port (the one that was free when ``port`` is 0)."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/admin/host/ping", self._ping)
        app.router.add_get("/admin/host/status", self._status)
        app.router.add_get("/admin/functions", self._list)
        app.router.add_post("/admin/functions/{name}", self._run_now)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=1.0)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, host, port)
        await self._site.start()
        return int(self._runner.addresses[0][1])

    async def stop_accepting(self) -> None:
        """Close the listening socket; requests that are being served go on."""
        if self._site is not None:
            await self._site.stop()
            self._site = None

    async def close(self) -> None:
        """Close what connections are left."""
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        found = self._routes.find(request.method, request.rel_url.raw_path)
        if found is None:
            return _home_page() if request.path == "/" else web.Response(status=404)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return web.Response(status=413)
        function, route_values = found
        call = await _read_call(request, route_values)
        outcome = await self._invoker.invoke(
            function,
            http_datum(call),
            reason="This function was programmatically called via the host APIs.",
            trace_parent=request.headers.get("traceparent", ""),
        )
        return _response(outcome)

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response(status=200)

    async def _status(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {"id": "local", "state": "Running", "version": "4", "active": self._invoker.active}
        )

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response(
            [
                {"name": function.name, "language": "python", "config": {"bindings": [function.trigger]}}
                for function in self._functions.values()
            ]
        )

    async def _run_now(self, request: web.Request) -> web.Response:
        """Run a timer now: https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http."""
        name = {known.lower(): known for known in self._functions}.get(request.match_info["name"].lower())
        if name is None:
            return web.Response(status=404)
        problem = await _admin_input_problem(request)
        if problem is None and name not in self._run_on_demand:
            problem = (
                "this host runs timers on demand; call the route or send the message for other functions"
            )
        if problem is not None:
            return web.Response(status=400, text=problem)
        invocation_id = str(uuid.uuid4())
        task = asyncio.ensure_future(self._run_on_demand[name](invocation_id))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return web.Response(status=202, headers={"x-ms-invocation-id": invocation_id})


async def _admin_input_problem(request: web.Request) -> str | None:
    if request.content_type != "application/json":
        return "the Content-Type must be application/json"
    try:
        body = json.loads(await request.read())
    except ValueError:
        return "the body must be JSON"
    return None if isinstance(body, dict) else 'the body must be an object such as {"input": ""}'


async def _read_call(request: web.Request, route_values: dict[str, str]) -> HttpCall:
    body = await request.read()
    if body and not request.content_length:
        logger.warning(
            "The platform hands functions no body of a request without Content-Length: it is dropped"
        )
        body = b""
    return HttpCall(
        method=request.method,
        url=f"{request.scheme}://{request.host}{request.rel_url.raw_path_qs}",
        headers=[*_without_forwarding(request), *_forwarding_headers(request)],
        query=list(request.query.items()),
        route_values=route_values,
        body=body,
    )


def _without_forwarding(request: web.Request) -> list[tuple[str, str]]:
    set_here = {name for name, _ in _forwarding_headers(request)}
    return [(name, value) for name, value in request.headers.items() if name.lower() not in set_here]


def _forwarding_headers(request: web.Request) -> list[tuple[str, str]]:
    """What App Service's front end adds: the caller's address and port at the end of X-Forwarded-For.

    What a caller put there itself stays before it and proves nothing.
    """
    address, port = (
        (request.transport.get_extra_info("peername") or ("127.0.0.1", 0))[:2]
        if request.transport
        else ("", 0)
    )
    peer = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    claimed = request.headers.getall("X-Forwarded-For", [])
    return [
        ("x-forwarded-for", ", ".join([*claimed, peer])),
        ("x-forwarded-proto", request.scheme),
        ("x-client-ip", address),
    ]


def _response(outcome: Outcome) -> web.Response:
    """Turn a handler's result into a response through azure-functions' own converter; any failure is an empty 500."""
    if outcome.error is not None:
        return web.Response(status=500)
    try:
        datum = get_binding_registry().get("http").encode(outcome.value, expected_type=None)
    except NotImplementedError:
        logger.error("An HTTP function must return an HttpResponse or a str, not %r", type(outcome.value))
        return web.Response(status=500)
    if datum.type == "string":
        return web.Response(text=datum.value)
    return _from_datum(datum.value)


def _from_datum(value: dict[str, Datum | dict[str, Datum] | list[SimpleCookie] | None]) -> web.Response:
    headers = {
        name: datum.value for name, datum in value["headers"].items() if name.lower() != "content-length"
    }
    response = web.Response(status=int(value["status_code"].value), body=value["body"].value, headers=headers)
    for cookie in value["cookies"] or []:
        for morsel in cookie.values():
            response.headers.add("Set-Cookie", morsel.OutputString())
    return response


def _home_page() -> web.Response:
    return web.Response(text="Your Functions app is up and running.")
