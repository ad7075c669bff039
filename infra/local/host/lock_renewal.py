"""Keeps a message's lock while its handler runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusError

logger = logging.getLogger("infra.local.host")


@contextlib.asynccontextmanager
async def renewed_lock(
    receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, max_seconds: float
) -> AsyncIterator[None]:
    """Renew the lock at half of its time, for ``max_seconds`` at most; a lost lock is logged, never raised.

    On leaving, a renewal under way is let finish: the receiver is not meant for concurrent use.
    """
    done = asyncio.Event()
    task = asyncio.create_task(_renew_until(done, receiver, message, time.monotonic() + max_seconds))
    try:
        yield
    finally:
        done.set()
        await task


async def _renew_until(
    done: asyncio.Event, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, deadline: float
) -> None:
    while not await _is_set_within(done, _half_of_lock(message)):
        if time.monotonic() >= deadline:
            logger.warning("Message %s: lock renewal ends, its longest time is over", message.message_id)
            return
        try:
            await receiver.renew_message_lock(message)
        except MessageLockLostError:
            logger.warning("Message %s: its lock was lost while its handler ran", message.message_id)
            return
        except ValueError:
            logger.warning("Message %s: its connection was lost while its handler ran", message.message_id)
            return
        except ServiceBusError as error:
            logger.warning("Message %s: its lock could not be renewed: %s", message.message_id, error)


def _half_of_lock(message: ServiceBusReceivedMessage) -> float:
    if message.locked_until_utc is None:
        return 1.0
    return max((message.locked_until_utc - datetime.now(UTC)).total_seconds() / 2, 0.1)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
