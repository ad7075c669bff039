"""Calls the app's functions: one log line before and one after, a time limit, and a way to wait until all are done."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import azure.functions as func
from azure.functions.meta import Datum, get_binding_registry

from infra.local.host.indexing import IndexedFunction
from infra.local.host.telemetry import traced_by

logger = logging.getLogger("infra.local.host")
invocations = logging.getLogger(f"{logger.name}.invocations")
"""The two lines of each invocation. The platform's host writes them in a process of its own."""


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended: ``error`` is None when it succeeded."""

    invocation_id: str
    value: Any = None
    error: BaseException | None = None


class TraceContext(func.Context):
    """The ``context`` argument of a function that asks for it, and the trace context in it."""

    def __init__(self, function: IndexedFunction, invocation_id: str, trace_parent: str) -> None:
        self._function = function
        self._invocation_id = invocation_id
        self._local = threading.local()
        self.trace_parent = trace_parent
        self.trace_state = ""
        self.attributes: dict[str, str] = {}

    @property
    def invocation_id(self) -> str:
        return self._invocation_id

    @property
    def thread_local_storage(self) -> Any:
        return self._local

    @property
    def function_name(self) -> str:
        return self._function.name

    @property
    def function_directory(self) -> str:
        return str(self._function.directory)

    @property
    def trace_context(self) -> Any:
        return self

    @property
    def retry_context(self) -> Any:
        return None


class Invoker:
    """Runs handlers on the host's one event loop (``async def``) or in a thread pool (``def``)."""

    def __init__(self, function_timeout: float | None) -> None:
        self._timeout = function_timeout
        self._running: set[asyncio.Task[Any]] = set()
        # The worker's default for sync functions: one thread per processor, plus four.
        self._threads = ThreadPoolExecutor(thread_name_prefix="function")

    async def invoke(
        self,
        function: IndexedFunction,
        data: Datum,
        metadata: Mapping[str, Datum] | None = None,
        *,
        reason: str,
        trace_parent: str = "",
        invocation_id: str | None = None,
    ) -> Outcome:
        """Call the function with ``data`` decoded by azure-functions' converter; never raises what the handler raises."""
        invocation_id = invocation_id or str(uuid.uuid4())
        invocations.info(
            "Executing 'Functions.%s' (Reason='%s', Id=%s)", function.name, reason, invocation_id
        )
        started = time.perf_counter()
        task = asyncio.create_task(self._call(function, data, metadata or {}, invocation_id, trace_parent))
        self._running.add(task)
        try:
            outcome = await self._settle(task, function, invocation_id)
        finally:
            self._running.discard(task)
        self._log_end(function, outcome, time.perf_counter() - started)
        return outcome

    async def _call(
        self,
        function: IndexedFunction,
        data: Datum,
        metadata: Mapping[str, Datum],
        invocation_id: str,
        trace_parent: str,
    ) -> Any:
        converter = get_binding_registry().get(function.trigger_type)
        arguments = {function.parameter: converter.decode(data, trigger_metadata=metadata)}
        if function.takes_context:
            arguments["context"] = TraceContext(function, invocation_id, trace_parent)
        with traced_by(trace_parent):
            value = await self._run_handler(function, arguments)
        if value is not None and not function.has_return:
            raise TypeError(f"{function.name} has no $return binding but returned a {type(value).__name__}")
        return value

    async def _run_handler(self, function: IndexedFunction, arguments: dict[str, Any]) -> Any:
        if function.is_async:
            return await function.call(**arguments)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function.call(**arguments))

    async def _settle(
        self, task: asyncio.Task[Any], function: IndexedFunction, invocation_id: str
    ) -> Outcome:
        done, _ = await asyncio.wait({task}, timeout=self._timeout)
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=5.0)
            message = f"{function.name} ran into the function timeout of {self._timeout:g} s"
            return Outcome(invocation_id, error=TimeoutError(message))
        if task.cancelled():
            return Outcome(invocation_id, error=asyncio.CancelledError("the host is stopping"))
        if error := task.exception():
            return Outcome(invocation_id, error=error)
        return Outcome(invocation_id, value=task.result())

    def _log_end(self, function: IndexedFunction, outcome: Outcome, seconds: float) -> None:
        invocations.info(
            "Executed 'Functions.%s' (%s, Id=%s, Duration=%.0fms)",
            function.name,
            "Succeeded" if outcome.error is None else "Failed",
            outcome.invocation_id,
            seconds * 1000,
        )
        if outcome.error is not None:
            logger.error("Functions.%s failed", function.name, exc_info=outcome.error)

    @property
    def active(self) -> int:
        """How many invocations are running."""
        return len(self._running)

    async def drain(self, limit: float) -> bool:
        """Wait until nothing runs; after ``limit`` seconds cancel what still does. True when all ended by themselves."""
        if not self._running:
            return True
        _, late = await asyncio.wait(set(self._running), timeout=limit)
        for task in late:
            task.cancel()
        if late:
            logger.warning("%d invocation(s) did not end within %g s and were cancelled", len(late), limit)
            await asyncio.wait(late, timeout=5.0)
        return not late

    def close(self) -> None:
        """Give up the threads; one that is still in a handler does not hold this call up."""
        self._threads.shutdown(wait=False, cancel_futures=True)
