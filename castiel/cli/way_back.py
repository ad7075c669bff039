"""How a person's consent comes back to the command: the browser calls a listener here, or its address is pasted."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

import typer

from castiel.cli.exits import UsageProblem
from castiel.cli.running import answerable
from castiel.errors import InvalidInput
from castiel.services.credentials.loopback import Callback, LoopbackListener, parse_pasted

NOBODY_LISTENS = "http://127.0.0.1:8710/callback"
"""Where a browser is sent when the address is pasted: it shows an error, and the address is in its bar."""


class WayBack(Protocol):
    """One way. ``says`` tells the person what to do."""

    redirect_uri: str
    says: str

    async def wait(self, state: str, *, seconds: float) -> Callback:
        """The callback. Raises :class:`InvalidInput` when consent is refused, or nothing came."""


@asynccontextmanager
async def way_back(*, paste: bool, port: int, redirect_uri: str | None) -> AsyncIterator[WayBack]:
    """A way for one authorization. Raises :class:`UsageProblem` for a port that is taken."""
    if paste:
        yield _Pasted(_checked(redirect_uri or NOBODY_LISTENS))
        return
    if redirect_uri is not None:
        raise UsageProblem("--redirect-uri goes with --paste; for the listener choose --port")
    listener = LoopbackListener(port=port)
    try:
        await listener.__aenter__()
    except OSError as error:
        raise UsageProblem(f"--port {port}: can't listen there ({error.strerror or error})") from None
    try:
        yield _Listening(listener)
    finally:
        await listener.__aexit__(None, None, None)


class _Pasted:
    says = "Then copy the address that the browser ends at (it may show an error), and paste it here."

    def __init__(self, redirect_uri: str) -> None:
        self.redirect_uri = redirect_uri

    async def wait(self, state: str, *, seconds: float) -> Callback:  # noqa: ARG002  (a person at a prompt ends it)
        if sys.stdin.isatty():
            with answerable():
                text = typer.prompt("Address", err=True)
        else:
            text = sys.stdin.readline()
        return parse_pasted(text, state)


class _Listening:
    """The listener; on a terminal a pasted address serves as well, for a browser on another machine."""

    def __init__(self, listener: LoopbackListener) -> None:
        self._listener = listener
        self.redirect_uri = listener.redirect_uri
        self.says = f"Waiting for the browser at {self.redirect_uri}"
        if _terminal() is not None:
            self.says += "; or paste here the address that it ends at."

    async def wait(self, state: str, *, seconds: float) -> Callback:
        listening = asyncio.create_task(self._listener.wait(state, seconds=seconds))
        pasted = asyncio.create_task(_pasted_line())
        try:
            await asyncio.wait({listening, pasted}, return_when=asyncio.FIRST_COMPLETED)
            if listening.done():
                return listening.result()
            return parse_pasted(pasted.result(), state)
        except TimeoutError:
            raise InvalidInput("nobody consented in time; begin again") from None
        finally:
            for each in (listening, pasted):
                each.cancel()
            await asyncio.gather(listening, pasted, return_exceptions=True)


def _terminal() -> int | None:
    """The terminal's descriptor, where the event loop can wait for it (not on Windows)."""
    return sys.stdin.fileno() if sys.stdin.isatty() and os.name == "posix" else None


async def _pasted_line() -> str:
    """The next line of the terminal; without one, for ever: the listener's time ends the waiting."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()
    terminal = _terminal()
    if terminal is None:
        return await line

    def read() -> None:
        text = os.read(terminal, 65_536).decode(errors="replace").strip()
        if text and not line.done():
            line.set_result(text)
        elif not text:
            loop.remove_reader(terminal)

    loop.add_reader(terminal, read)
    try:
        return await line
    finally:
        loop.remove_reader(terminal)


def _checked(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise UsageProblem("--redirect-uri: give a whole address, https://…")
    return redirect_uri
