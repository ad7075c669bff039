"""The processes of the local stack: ready line, stop, kill, restart, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.process import CHECKOUT, ServerFailedError, ServerProcess

pytestmark = pytest.mark.stack

ECHO_SERVER = """
import asyncio, subprocess, sys
from infra.local.process import announce, run_server, server_parser

parser = server_parser("echo", "test server")
parser.add_argument("--fail", action="store_true")
parser.add_argument("--deaf", action="store_true")
parser.add_argument("--silent", action="store_true")
parser.add_argument("--child", action="store_true")
options = parser.parse_args()

async def serve(options, stopping):
    if options.fail:
        raise SystemExit("the reason it failed")
    if options.silent:
        await stopping.wait()
    server = await asyncio.start_server(lambda reader, writer: writer.close(), options.host, options.port)
    child = subprocess.Popen(["sleep", "600"]) if options.child else None
    announce("echo", server.sockets[0].getsockname()[1], child=child.pid if child else None)
    await (asyncio.Event() if options.deaf else stopping).wait()
    server.close()

sys.exit(run_server(serve, options))
"""


@pytest.fixture
def echo_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "echo_server_for_tests.py").write_text(ECHO_SERVER)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(CHECKOUT)]))
    return "echo_server_for_tests"


@pytest.fixture
def start(echo_module: str) -> Iterator[Callable[..., ServerProcess]]:
    started: list[ServerProcess] = []

    def starter(*arguments: str) -> ServerProcess:
        server = ServerProcess("echo", module=echo_module, arguments=arguments)
        started.append(server)
        server.start()
        return server

    yield starter
    for server in started:
        server.kill()


def gone(pid: int, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat")
            if state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_sigterm_stops_it_with_exit_code_0(start: Callable[..., ServerProcess]) -> None:
    server = start()
    assert server.running
    assert server.stop() == 0
    assert not server.running


def test_a_server_that_does_not_close_in_time_is_cut_off(start: Callable[..., ServerProcess]) -> None:
    server = start("--deaf")
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 4


def test_restart_keeps_the_port_after_a_kill(start: Callable[..., ServerProcess]) -> None:
    server = start()
    port, pid = server.port, server.pid
    assert server.kill() == -signal.SIGKILL
    server.restart()
    assert server.port == port != 0
    assert server.pid != pid


def test_the_error_of_a_failed_start_carries_what_the_server_said(echo_module: str) -> None:
    server = ServerProcess("echo", module=echo_module, arguments=["--fail"])
    with pytest.raises(ServerFailedError, match="the reason it failed"):
        server.start()
    assert not server.running


def test_a_taken_port_is_said_plainly(start: Callable[..., ServerProcess], echo_module: str) -> None:
    taken = start()
    with pytest.raises(ServerFailedError, match="cannot serve") as failure:
        ServerProcess("echo", module=echo_module, port=taken.port).start()
    assert "Traceback" not in str(failure.value)


def test_no_ready_line_in_time_is_an_error_and_ends_the_process(echo_module: str) -> None:
    server = ServerProcess("echo", module=echo_module, arguments=["--silent"], start_timeout=0.5)
    with pytest.raises(ServerFailedError, match=r"no ready line within 0\.5 s"):
        server.start()
    assert not server.running


def test_kill_takes_what_the_server_started_with_it(start: Callable[..., ServerProcess]) -> None:
    server = start("--child")
    child = server.ready["child"]
    server.kill()
    assert gone(child)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_does_not_outlive_the_process_that_started_it(
    echo_module: str, ending: signal.Signals
) -> None:
    starter = textwrap.dedent(f"""
        import time
        from infra.local.process import ServerProcess
        server = ServerProcess("echo", module="{echo_module}")
        server.start()
        print(server.pid, flush=True)
        time.sleep(600)
    """)
    parent = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", starter], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert parent.stdout is not None
        with parent.stdout:
            pid = int(parent.stdout.readline())
        parent.send_signal(ending)
        parent.wait(10)
        assert gone(pid)
    finally:
        parent.kill()
        parent.wait()


def test_ctrl_c_on_a_server_run_by_hand_leaves_no_traceback(echo_module: str) -> None:
    by_hand = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", echo_module, "--memory"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert by_hand.stdout is not None
    by_hand.stdout.readline()
    by_hand.send_signal(signal.SIGINT)
    _, errors = by_hand.communicate(timeout=10)
    assert (by_hand.returncode, errors) == (0, b"")
