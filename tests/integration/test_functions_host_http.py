"""The local Functions host's HTTP side: what reaches a function and what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.support.echo_app import ECHO_APP, EchoRecords
from tests.support.host import RunningHost, running_host

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def records(tmp_path_factory: pytest.TempPathFactory) -> EchoRecords:
    return EchoRecords(tmp_path_factory.mktemp("echo"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(records: EchoRecords) -> AsyncIterator[RunningHost]:
    async with running_host(ECHO_APP, records.settings()) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(host: RunningHost) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=host.url, timeout=20.0) as http:
        yield http


async def test_the_body_arrives_byte_for_byte(client: httpx.AsyncClient) -> None:
    body = bytes(range(256)) * 3
    answer = await client.post("/echo/r1", content=body, headers={"Content-Encoding": "gzip"})
    assert bytes.fromhex(answer.json()["body"]) == body


async def test_headers_arrive_lowered_and_repeated_ones_joined(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/echo/r1", headers=[("X-Twice", "a"), ("X-Twice", "b"), ("X-Sig", "v1=Ü".encode())]
    )
    headers = answer.json()["headers"]
    assert headers["x-twice"] == "a,b"
    assert headers["x-sig"] == "v1=Ü"


async def test_route_values_are_unescaped_but_for_the_slash(client: httpx.AsyncClient) -> None:
    answer = await client.post("/ECHO/r%201/a%2Fb/c%3Fd")
    assert answer.json()["route_params"] == {"registrationId": "r 1", "path": "a%2Fb/c?d"}


@pytest.mark.parametrize("path", ["/echo/r1", "/echo/r1/"])
async def test_an_empty_catch_all_has_no_value(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.post(path)).json()["route_params"] == {"registrationId": "r1"}


async def test_query_values_repeat_and_empty_ones_are_left_out(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo/r1?a=1&a=2&b=&c=x%20y")
    assert answer.json()["params"] == {"a": "1,2", "c": "x y"}
    assert answer.json()["url"].endswith("/echo/r1?a=1&a=2&b=&c=x%20y")


async def test_the_callers_address_is_the_last_forwarded_one(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo/r1", headers={"X-Forwarded-For": "203.0.113.9"})
    claimed, real = answer.json()["headers"]["x-forwarded-for"].split(", ")
    assert claimed == "203.0.113.9"
    assert real.startswith("127.0.0.1:")


async def test_the_response_is_the_functions_own(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo/r1?status=202")
    assert answer.status_code == 202
    assert answer.headers["x-echo"] == "yes"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["set-cookie"] == "seen=1; Path=/"


async def test_an_exception_is_an_empty_500(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo/r1?fail=secret")
    assert answer.status_code == 500
    assert answer.content == b""


async def test_head_has_no_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/echo/r1")
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/echo/r1"), ("OPTIONS", "/echo/r1"), ("POST", "/nowhere")]
)
async def test_an_unknown_path_or_method_is_404(client: httpx.AsyncClient, method: str, path: str) -> None:
    # Another method on a known path: https://github.com/Azure/azure-functions-host/issues/10098
    answer = await client.request(method, path)
    assert answer.status_code == 404
    assert answer.content == b""


async def test_a_body_above_100_mb_is_refused_before_it_is_sent(host: RunningHost) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", host.process.port)
    head = f"POST /echo/r1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {100 * 1024 * 1024 + 1}\r\n\r\n"
    writer.write(head.encode())
    status_line = await asyncio.wait_for(reader.readline(), 5.0)
    writer.close()
    await writer.wait_closed()
    assert status_line.split()[1] == b"413"


async def test_a_sync_function_runs_beside_the_loop(client: httpx.AsyncClient) -> None:
    slow = asyncio.create_task(client.get("/blocking?wait=1"))
    await asyncio.sleep(0.05)
    assert (await client.post("/echo/r1")).status_code == 200
    assert not slow.done()
    assert (await slow).text.startswith("Blocking ")


async def test_a_timer_runs_on_demand(host: RunningHost, records: EchoRecords) -> None:
    await host.run_timer("tick")
    [tick] = records.all("tick")
    assert (tick["past_due"], tick["status"]) == (False, {})


async def test_the_admin_endpoint_wants_json_and_a_known_timer(client: httpx.AsyncClient) -> None:
    assert (await client.post("/admin/functions/Tick", content=b"")).status_code == 400
    assert (await client.post("/admin/functions/Nobody", json={"input": ""})).status_code == 404
    assert (await client.post("/admin/functions/Echo", json={"input": ""})).status_code == 400


async def test_status_and_list(client: httpx.AsyncClient) -> None:
    assert (await client.get("/admin/host/status")).json()["state"] == "Running"
    assert [entry["name"] for entry in (await client.get("/admin/functions")).json()] == [
        "Echo",
        "Blocking",
        "Tick",
    ]


async def test_a_request_under_way_is_answered_before_the_host_stops(tmp_path: Path) -> None:
    records = EchoRecords(tmp_path)
    async with (
        running_host(ECHO_APP, records.settings()) as host,
        httpx.AsyncClient(base_url=host.url) as client,
    ):
        waiting = asyncio.create_task(client.post("/echo/r1?wait=1"))
        await records.wait("echo-started")
        assert await host.stop() == 0
        assert (await waiting).status_code == 200


async def test_a_handler_that_does_not_end_is_cancelled_at_the_drain_limit(tmp_path: Path) -> None:
    records = EchoRecords(tmp_path)
    async with (
        running_host(ECHO_APP, records.settings(), drain_seconds=0.3) as host,
        httpx.AsyncClient(base_url=host.url) as client,
    ):
        waiting = asyncio.create_task(client.post("/echo/r1?wait=60"))
        await records.wait("echo-started")
        assert await host.stop() == 0
        assert (await waiting).status_code == 500


async def test_the_function_timeout_ends_an_invocation(tmp_path: Path) -> None:
    records = EchoRecords(tmp_path)
    settings = {**records.settings(), "AzureFunctionsJobHost__functionTimeout": "00:00:00.5"}
    async with running_host(ECHO_APP, settings) as host, httpx.AsyncClient(base_url=host.url) as client:
        assert (await client.post("/echo/r1?wait=60")).status_code == 500
        assert "function timeout" in host.log()
