"""Runs an app in the platform's own worker library, ``azure_functions_runtime``, as the Functions host would drive it.

The library keeps the app in module globals, so each run has a process of its own: :func:`run_in_platform_worker`
starts this module as a program, hands it the invocations as JSON and gets back what the library answered. The data of
an invocation is what the local host would send (``infra.local.host.wire``): what is shown to work here is the pair.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from azure.functions.meta import Datum

from infra.local.host.wire import HttpCall, batch_data, http_datum, message_data, timer_datum
from tests.support import functions_protos as protos

CHECKOUT = Path(__file__).resolve().parents[2]
_RESULT = "platform-worker-result:"


@dataclass(frozen=True)
class HttpInvocation:
    """One request to an HTTP function."""

    function: str
    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    route_values: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    trace_parent: str = ""
    kind: str = "http"


@dataclass(frozen=True)
class TimerInvocation:
    """One run of a timer function."""

    function: str
    past_due: bool = False
    kind: str = "timer"


@dataclass(frozen=True)
class Message:
    """A Service Bus message, as far as a function sees it."""

    body: str
    message_id: str = "m-1"
    correlation_id: str | None = None
    delivery_count: int = 0
    application_properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MessageInvocation:
    """One call of a Service Bus function: one message, or all of them when ``batched``."""

    function: str
    messages: Sequence[Message]
    batched: bool = False
    kind: str = "message"


Invocation = HttpInvocation | TimerInvocation | MessageInvocation


@dataclass(frozen=True)
class Answer:
    """What the library answered to one invocation; an error is its text, a value what ``$return`` carried."""

    function: str
    error: str | None
    value: Any


@dataclass(frozen=True)
class WorkerRun:
    """One run of the library: ``error`` is why it refused the app; ``bindings`` are by function name."""

    error: str | None
    bindings: dict[str, list[dict[str, Any]]]
    answers: list[Answer]


async def run_in_platform_worker(
    app_dir: Path,
    settings: Mapping[str, str],
    invocations: Sequence[Invocation] = (),
    *,
    within: float = 60.0,
) -> WorkerRun:
    """Index ``app_dir`` with the platform's library, then make the invocations one after the other."""
    script = json.dumps(
        {"app_dir": str(app_dir), "invocations": [dataclasses.asdict(call) for call in invocations]}
    )
    return await asyncio.to_thread(_run_process, script, dict(settings), within)


def _run_process(script: str, settings: dict[str, str], within: float) -> WorkerRun:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.platform_worker"],
        cwd=CHECKOUT,
        env={**os.environ, **settings},
        input=script,
        capture_output=True,
        text=True,
        timeout=within,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(_RESULT)]
    if not lines:
        raise AssertionError(f"the worker ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    result = json.loads(lines[0].removeprefix(_RESULT))
    return WorkerRun(result["error"], result["bindings"], [Answer(**answer) for answer in result["answers"]])


# In the process of its own ----------------------------------------------------------------------------------


async def _drive(script: dict[str, Any]) -> dict[str, Any]:
    import azure_functions_runtime as runtime

    sys.path.insert(0, script["app_dir"])
    init = await runtime.worker_init_request(
        _request(
            worker_init_request=SimpleNamespace(capabilities={}, function_app_directory=script["app_dir"])
        )
    )
    if init.result.status != protos.StatusResult.Success:
        return {"error": init.result.exception.message, "bindings": {}, "answers": []}
    metadata = await runtime.functions_metadata_request(_request())
    ids = {found.name: found.function_id for found in metadata.function_metadata_results}
    bindings = {
        found.name: [json.loads(raw) for raw in found.raw_bindings]
        for found in metadata.function_metadata_results
    }
    for function_id in ids.values():
        await runtime.function_load_request(
            _request(function_load_request=SimpleNamespace(function_id=function_id))
        )
    answers = []
    for call in script["invocations"]:
        [parameter] = [
            each["name"] for each in bindings[call["function"]] if each["type"].endswith("Trigger")
        ]
        answers.append(await _invoke(runtime, call, ids[call["function"]], parameter))
    return {"error": None, "bindings": bindings, "answers": answers}


def _request(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(
        request=SimpleNamespace(**fields), properties={"host": "127.0.0.1", "protos": protos}
    )


async def _invoke(runtime: Any, call: dict[str, Any], function_id: str, parameter: str) -> dict[str, Any]:
    data, metadata = _wire(call)
    invocation = SimpleNamespace(
        invocation_id=str(uuid.uuid4()),
        function_id=function_id,
        input_data=[protos.ParameterBinding(parameter, _typed(data))],
        trigger_metadata={name: _typed(datum) for name, datum in metadata.items()},
        trace_context=SimpleNamespace(
            trace_parent=call.get("trace_parent", ""), trace_state="", attributes={}
        ),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )
    response = await runtime.invocation_request(_request(invocation_request=invocation))
    failed = response.result.status != protos.StatusResult.Success
    error = response.result.exception.message if failed else None
    return {"function": call["function"], "error": error, "value": _plain(response.return_value)}


def _wire(call: dict[str, Any]) -> tuple[Datum, dict[str, Datum]]:
    match call["kind"]:
        case "http":
            return http_datum(_http_call(call)), {}
        case "timer":
            return timer_datum(past_due=call["past_due"], status=None), {}
        case _:
            messages: Any = [_received(message) for message in call["messages"]]
            return batch_data(messages) if call["batched"] else message_data(messages[0])


def _http_call(call: dict[str, Any]) -> HttpCall:
    return HttpCall(
        method=call["method"],
        url=call["url"],
        headers=list(call["headers"].items()),
        query=list(call["query"].items()),
        route_values=call["route_values"],
        body=call["body"].encode(),
    )


def _received(message: dict[str, Any]) -> SimpleNamespace:
    """What ``infra.local.host.wire`` reads of the SDK's received message."""
    unset = ("dead_letter_source", "expires_at_utc", "content_type", "reply_to", "to", "subject")
    unset += ("session_id", "reply_to_session_id", "partition_key")
    return SimpleNamespace(
        **dict.fromkeys(unset),
        **{**message, "body": message["body"].encode()},
        lock_token=uuid.uuid4(),
        sequence_number=1,
        enqueued_time_utc=datetime.now(UTC),
    )


def _typed(datum: Datum) -> protos.TypedData:
    if datum.type != "http":
        return protos.TypedData(**{str(datum.type): datum.value})
    value = datum.value
    texts = {
        name: {key: item.value for key, item in value[name].items()}
        for name in ("headers", "query", "params")
    }
    body = protos.TypedData(bytes=value["body"].value or None)
    return protos.TypedData(
        http=protos.RpcHttp(method=value["method"].value, url=value["url"].value, body=body, **texts)
    )


def _plain(data: protos.TypedData | None) -> Any:
    if data is None:
        return None
    if data.http is not None:
        body = data.http.body.bytes.decode()
        return {"status": int(data.http.status_code), "headers": dict(data.http.headers), "body": body}
    return data.string


def main() -> None:
    """Read the script from stdin, print the result as one marked line."""
    result = asyncio.run(_drive(json.load(sys.stdin)))
    print(_RESULT + json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
