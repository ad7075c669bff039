"""Which addresses are called: https and public only, checked before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from castiel.adapters.http import HttpPool
from castiel.adapters.urls import UrlPolicy
from castiel.errors import ConfigurationError, ProviderUnavailable


async def ask(url: str, *addresses: str) -> list[str]:
    """Send to ``url``, whose name leads to ``addresses``; returns the names that were looked up."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        if not addresses:
            raise OSError("no such name")
        return addresses

    pool = HttpPool(UrlPolicy(), timeout=0.5, total=1.0, resolve=resolve)
    try:
        await pool.send("GET", url)
    finally:
        await pool.aclose()
    return asked


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/",
        "https://localhost/",
        "https://printer.local/",
        "https://metadata.internal/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://10.1.2.3/",
        "https://192.168.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://user:word@api.example.com/",
        "ftp://api.example.com/",
        "https://api.example.com:port/",
        "https://api.example.com:99999/",
        "https://[::1",
        "https://a b.example.com/",
    ],
)
async def test_an_address_that_is_never_called(url: str) -> None:
    with pytest.raises(ConfigurationError, match="baseUrl"):
        await ask(url, "203.0.113.7")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "fd00::1", "::ffff:127.0.0.1"]
)
async def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(ConfigurationError, match="private"):
        await ask("https://api.example.com/", "93.184.215.14", address)


async def test_a_name_that_leads_nowhere_may_come_back() -> None:
    with pytest.raises(ProviderUnavailable):
        await ask("https://api.example.com/")


@pytest.mark.stack
async def test_a_name_that_changes_its_mind_gets_not_one_connection() -> None:
    met: list[str] = []

    async def meet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append("connected")
        writer.close()

    async with await asyncio.start_server(meet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        answers = [["93.184.215.14", "127.0.0.1"], ["127.0.0.1"]]

        async def resolve(_host: str, _port: int) -> Sequence[str]:
            return answers.pop(0)

        pool = HttpPool(UrlPolicy(), timeout=0.5, resolve=resolve)
        try:
            for _ in range(2):
                with pytest.raises(ConfigurationError, match="private"):
                    await pool.send("GET", f"https://api.example.com:{port}/")
        finally:
            await pool.aclose()
    assert met == []
