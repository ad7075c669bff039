"""Getting the next thing ready while this one is worked on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def prefetch(things: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The same things in the same order, the next one being made while this one is used. Close it when done."""
    following = asyncio.ensure_future(anext(things, None))
    try:
        while (thing := await following) is not None:
            following = asyncio.ensure_future(anext(things, None))
            yield thing
    finally:
        if not following.done():
            following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if isinstance(things, AsyncGenerator):
            await things.aclose()
