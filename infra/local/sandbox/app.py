"""The sandbox's web application: every provider under its own prefix, and the control API beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from aiohttp import web
from aiohttp.typedefs import Middleware

from infra.local.sandbox.control import control_routes
from infra.local.sandbox.playing import Handler, Stage
from infra.local.sandbox.providers import build_providers
from infra.local.sandbox.store import Store

_MAX_BODY = 64 * 1024 * 1024


def build_app(store: Store) -> tuple[web.Application, dict[str, Stage]]:
    """The application over a store, and its stages by provider name."""
    stages = {provider.name: Stage(provider) for provider in build_providers(store)}
    app = web.Application(middlewares=[_playing(stages)], client_max_size=_MAX_BODY)
    app.add_routes(control_routes(store, stages))
    for name, stage in stages.items():
        for route in stage.provider.routes():
            app.add_routes([_moved(route, f"/{name}{route.path}")])
            if route.path.split("/")[1] in stage.provider.root_segments:
                app.add_routes([route])
    return app, stages


def _moved(route: web.RouteDef, path: str) -> web.RouteDef:
    return web.RouteDef(route.method, path, route.handler, route.kwargs)


def _playing(stages: Mapping[str, Stage]) -> Middleware:
    by_segment = dict(stages)
    by_segment |= {segment: stage for stage in stages.values() for segment in stage.provider.root_segments}

    @web.middleware
    async def play(request: web.Request, handler: Handler) -> web.StreamResponse:
        stage = by_segment.get(request.path.split("/")[1])
        return await (stage.play(request, handler) if stage else handler(request))

    return play


def seed_if_empty(stages: Mapping[str, Stage], wanted: Mapping[str, Mapping[str, int]]) -> None:
    """Seed each named provider that has no record yet. Raises KeyError for an unknown provider."""
    for name, counts in wanted.items():
        provider = stages[name].provider
        if not provider.store.counts(name):
            provider.seed(counts, seed=7)


class SandboxServer:
    """The sandbox in this process, for tests: `async with SandboxServer() as sandbox: sandbox.url`."""

    def __init__(self, data: Path | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        """`data` is the folder to keep the records in; None keeps them in memory."""
        self._data = data
        self._host = host
        self.port = port

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash; a provider's is this plus `/<name>`."""
        return f"http://{self._host}:{self.port}"

    async def start(self) -> None:
        self.store = Store(self._data / "sandbox.sqlite" if self._data else None)
        app, self.stages = build_app(self.store)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()
        self.store.close()

    async def __aenter__(self) -> SandboxServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
