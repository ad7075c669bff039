"""One function of each kind: what it was called with goes, a JSON line each, to the file named by ECHO_FILE."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import List  # noqa: UP035 - the platform knows typing.List of messages, not list

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def _record(kind: str, **values: object) -> None:
    line = json.dumps({"kind": kind, "at": time.time(), **values}, default=str) + "\n"
    with Path(os.environ["ECHO_FILE"]).open("a", encoding="utf-8") as file:
        file.write(line)


def _wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.01)


@app.function_name("Echo")
@app.route(route="echo/{registrationId}/{*path}", methods=["POST", "HEAD"])
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with what came in; `fail` and `wait` in the query make it fail or take its time (seconds)."""
    if "fail" in req.params:
        raise RuntimeError(req.params["fail"])
    if "wait" in req.params:
        _record("echo-started")
        await asyncio.sleep(float(req.params["wait"]))
    answer = {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route_params": dict(req.route_params),
        "body": req.get_body().hex(),
    }
    return func.HttpResponse(
        json.dumps(answer),
        status_code=int(req.params.get("status", "200")),
        mimetype="application/json",
        headers={"X-Echo": "yes", "Set-Cookie": "seen=1; Path=/"},
    )


@app.function_name("Blocking")
@app.route(route="blocking", methods=["GET"])
def blocking(req: func.HttpRequest, context: func.Context) -> str:
    """A sync function, which must not hold up the event loop."""
    time.sleep(float(req.params.get("wait", "0")))
    return f"{context.function_name} {context.invocation_id}"


@app.function_name("Tick")
@app.timer_trigger(arg_name="timer", schedule="%ECHO_SCHEDULE%", use_monitor=True, run_on_startup=False)
async def tick(timer: func.TimerRequest) -> None:
    """A timer."""
    _record("tick", past_due=timer.past_due, status=timer.schedule_status)


@app.function_name("One")
@app.service_bus_queue_trigger(arg_name="message", queue_name="%ECHO_QUEUE%", connection="ECHO_BUS")
async def one(message: func.ServiceBusMessage) -> None:
    """Single messages; the body says how long to take, or until which file is there, and whether to fail."""
    order = json.loads(message.get_body())
    _record(
        "one",
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        delivery_count=message.delivery_count,
        application_properties=message.application_properties,
        enqueued=message.enqueued_time_utc,
        subject=message.subject,
        metadata=sorted(message.metadata or {}),
        body=order,
    )
    await asyncio.sleep(order.get("wait", 0))
    if "until" in order:
        await asyncio.to_thread(_wait_for, Path(order["until"]))
    if order.get("fail"):
        raise RuntimeError("the message asked for it")
    _record("one-done", message_id=message.message_id)


@app.function_name("Many")
@app.service_bus_queue_trigger(
    arg_name="messages",
    queue_name="%ECHO_BATCH_QUEUE%",
    connection="ECHO_BUS",
    cardinality=func.Cardinality.MANY,
)
async def many(messages: List[func.ServiceBusMessage]) -> None:  # noqa: UP006
    """Batches."""
    _record(
        "many",
        bodies=[json.loads(message.get_body()) for message in messages],
        message_ids=[message.message_id for message in messages],
        application_properties=[message.application_properties for message in messages],
        delivery_counts=[message.delivery_count for message in messages],
    )
    if any(json.loads(message.get_body()).get("fail") for message in messages):
        raise RuntimeError("the batch asked for it")
