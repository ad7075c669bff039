"""What the local host accepts, the platform accepts: its own worker library indexes and invokes the same apps.

From Python 3.13 on the platform runs ``azure-functions-runtime``, which is on PyPI; below that its worker is not.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local.host.errors import IndexingError
from infra.local.host.indexing import index_function
from tests.support.echo_app import ECHO_APP, EchoRecords
from tests.support.platform_worker import (
    HttpInvocation,
    Message,
    MessageInvocation,
    TimerInvocation,
    run_in_platform_worker,
)

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(sys.version_info < (3, 13), reason="the platform's library needs Python 3.13"),
]


@dataclass(frozen=True)
class AppUnderTest:
    """An app, and the trigger each of its functions must have."""

    directory: Path
    triggers: dict[str, str]


APPS = [
    AppUnderTest(
        ECHO_APP,
        {
            "Echo": "httpTrigger",
            "Blocking": "httpTrigger",
            "Tick": "timerTrigger",
            "One": "serviceBusTrigger",
            "Many": "serviceBusTrigger",
        },
    ),
]


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.directory.name)
async def test_the_platform_loads_every_function(app: AppUnderTest, tmp_path: Path) -> None:
    run = await run_in_platform_worker(app.directory, EchoRecords(tmp_path).settings())
    assert run.error is None
    triggers = {
        name: binding["type"]
        for name, bindings in run.bindings.items()
        for binding in bindings
        if binding["type"].endswith("Trigger")
    }
    assert triggers == app.triggers


async def test_an_http_function_answers(tmp_path: Path) -> None:
    call = HttpInvocation(
        "Echo",
        url="http://localhost/echo/r1/a?status=201",
        headers={"X-Signature": "v1=abc"},
        query={"status": "201"},
        route_values={"registrationId": "r1", "path": "a"},
        body="raw \u00fc",
    )
    [answer] = (await run_in_platform_worker(ECHO_APP, EchoRecords(tmp_path).settings(), [call])).answers
    assert answer.error is None
    assert answer.value["status"] == 201
    seen = json.loads(answer.value["body"])
    assert bytes.fromhex(seen["body"]).decode() == "raw \u00fc"
    assert seen["headers"]["x-signature"] == "v1=abc"
    assert seen["route_params"] == {"registrationId": "r1", "path": "a"}


async def test_timer_message_and_batch_functions_run(tmp_path: Path) -> None:
    records = EchoRecords(tmp_path)
    calls = [
        TimerInvocation("Tick", past_due=True),
        MessageInvocation(
            "One", [Message('{"n": 1}', correlation_id="c-1", application_properties={"a": 1})]
        ),
        MessageInvocation(
            "Many", [Message(f'{{"n": {n}}}', message_id=f"m-{n}") for n in range(3)], batched=True
        ),
    ]
    run = await run_in_platform_worker(ECHO_APP, records.settings(), calls)
    assert [(answer.error, answer.value) for answer in run.answers] == [(None, None)] * 3
    assert records.all("tick")[0]["past_due"] is True
    [one] = records.all("one")
    assert (one["delivery_count"], one["correlation_id"]) == (1, "c-1")
    assert one["application_properties"] == {"a": 1}
    [many] = records.all("many")
    assert many["bodies"] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert many["message_ids"] == ["m-0", "m-1", "m-2"]


async def test_a_failure_is_reported_and_the_worker_goes_on(tmp_path: Path) -> None:
    calls = [
        MessageInvocation("One", [Message('{"fail": true}')]),
        MessageInvocation("One", [Message('{"n": 2}')]),
    ]
    run = await run_in_platform_worker(ECHO_APP, EchoRecords(tmp_path).settings(), calls)
    assert [answer.error for answer in run.answers] == ["RuntimeError: the message asked for it", None]


TIMER = "@app.timer_trigger(arg_name='timer', schedule='0 0 * * * *')\n"
QUEUE = "@app.service_bus_queue_trigger(arg_name='messages', queue_name='q', connection='C', cardinality='many')\n"
REFUSED = {
    "misnamed parameter": TIMER + "async def f(clock: func.TimerRequest) -> None: ...",
    "extra parameter": TIMER + "async def f(timer: func.TimerRequest, other: str) -> None: ...",
    "wrong type": TIMER + "async def f(timer: func.HttpRequest) -> None: ...",
    "builtin list": QUEUE + "async def f(messages: list[func.ServiceBusMessage]) -> None: ...",
}


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED.keys())
async def test_the_platform_and_the_local_host_refuse_the_same(source: str, tmp_path: Path) -> None:
    text = f"import azure.functions as func\napp = func.FunctionApp()\n{source}\n"
    (tmp_path / "function_app.py").write_text(text, encoding="utf-8")
    run = await run_in_platform_worker(tmp_path, {})
    assert run.error is not None
    assert "FunctionLoadError" in run.error
    module: dict[str, Any] = {}
    exec(text, module)  # noqa: S102 - the source above
    with pytest.raises(IndexingError):
        [index_function(function, tmp_path) for function in module["app"].get_functions()]
