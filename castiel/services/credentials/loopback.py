"""Where a browser comes back to after a person's consent: a listener on this machine (RFC 8252, section 7.3)."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from castiel.errors import InvalidInput

HOST = "127.0.0.1"
MAX_REQUEST_BYTES = 16_384
READ_SECONDS = 10.0

_DONE = "Castiel has the authorization. You can close this window."
_REFUSED = "The authorization was not given. You can close this window."
_UNKNOWN = "This is not the answer that Castiel waits for."


@dataclass(frozen=True, slots=True)
class Callback:
    """What the provider sent the browser back with."""

    code: str
    state: str

    def __repr__(self) -> str:
        return "Callback(…)"


class LoopbackListener:
    """``async with LoopbackListener() as listener:`` open the URL with ``listener.redirect_uri``, then ``wait``.

    Only a callback with the expected state ends the waiting: a page that guesses the port can't.
    """

    def __init__(self, *, port: int = 0, path: str = "/callback") -> None:
        self._port = port
        self._path = path
        self._state: str | None = None
        self._server: asyncio.Server | None = None
        self._answer: asyncio.Future[Callback] | None = None

    @property
    def redirect_uri(self) -> str:
        """The address to register and to send along."""
        if self._server is None:
            raise RuntimeError("enter the listener first")
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}{self._path}"

    async def __aenter__(self) -> LoopbackListener:
        self._answer = asyncio.get_running_loop().create_future()
        self._server = await asyncio.start_server(self._serve, HOST, self._port, limit=MAX_REQUEST_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._answer is not None:
            self._answer.cancel()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def wait(self, state: str, *, seconds: float = 900.0) -> Callback:
        """The callback for this state. Raises :class:`InvalidInput` when consent is refused, TimeoutError."""
        self._state = state
        if self._answer is None:
            raise RuntimeError("enter the listener first")
        async with asyncio.timeout(seconds):
            return await self._answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
            status, text = self._take(request.decode("latin-1").split("\r\n", 1)[0])
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            status, text = "400 Bad Request", _UNKNOWN
        body = text.encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n\r\n"
        )
        try:
            writer.write(head.encode() + body)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _take(self, request_line: str) -> tuple[str, str]:
        method, _, rest = request_line.partition(" ")
        target = urlsplit(rest.partition(" ")[0])
        if method != "GET" or target.path != self._path:
            return "404 Not Found", _UNKNOWN
        query = {name: values[0] for name, values in parse_qs(target.query).items()}
        state = query.get("state", "")
        expected = self._state
        if expected is None or not secrets.compare_digest(state.encode(), expected.encode()):
            return "400 Bad Request", _UNKNOWN
        if self._answer is None or self._answer.done():
            return "409 Conflict", _UNKNOWN
        if "code" not in query:
            reason = query.get("error", "no code")
            shown = reason if reason.replace("_", "").isalnum() and len(reason) <= 64 else "refused"
            self._answer.set_exception(InvalidInput(f"the authorization was not given: {shown}"))
            return "200 OK", _REFUSED
        self._answer.set_result(Callback(query["code"], state))
        return "200 OK", _DONE


def parse_pasted(text: str, state: str) -> Callback:
    """The callback from what a person pasted: the whole address, or the bare code.

    Raises :class:`InvalidInput` for an address with another state, or without a code.
    """
    text = text.strip()
    if "://" not in text:
        if not text:
            raise InvalidInput("paste the code, or the whole address of the page you were sent to")
        return Callback(text, state)
    query = parse_qs(urlsplit(text).query)
    if not secrets.compare_digest(query.get("state", [""])[0].encode(), state.encode()):
        raise InvalidInput("this address belongs to another authorization: its state differs")
    if "code" not in query:
        raise InvalidInput("this address has no code: the authorization was not given")
    return Callback(query["code"][0], state)
