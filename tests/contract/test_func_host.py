"""``func start`` as the host: with a stand-in for the tool, since the tool itself is not on every machine."""

from __future__ import annotations

import socket
import stat
import sys
from pathlib import Path

import pytest

from infra.local import func_host
from infra.local.func_host import FuncHost, func_is_usable
from infra.local.ports import ReservedPort
from infra.local.process import ServerFailedError

pytestmark = pytest.mark.stack

STAND_IN = f"""#!{sys.executable}
import http.server, signal, sys
assert sys.argv[1:3] == ["start", "--port"], sys.argv
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
class Host(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/admin/host/status" else 404)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[3])), Host).serve_forever()
"""


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "func"
    path.write_text(STAND_IN)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return path


def test_func_is_started_waited_for_and_stopped(tool: Path, tmp_path: Path) -> None:
    reserved = ReservedPort()
    host = FuncHost(reserved.number, app_dir=tmp_path)
    host.start(within=20)
    assert host._answers()
    host.stop(10)
    assert not host._answers()


def test_a_func_that_ends_is_told(tool: Path, tmp_path: Path) -> None:
    tool.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(ServerFailedError, match="func start"):
        FuncHost(ReservedPort().number, app_dir=tmp_path).start(within=20)


def test_func_is_used_only_with_azurite(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as azurite:
        azurite.bind(("127.0.0.1", 0))
        monkeypatch.setattr(func_host, "AZURITE_PORT", azurite.getsockname()[1])
        assert not func_is_usable()
        azurite.listen()
        assert func_is_usable()
        monkeypatch.setenv("PATH", "/nowhere")
        assert not func_is_usable()
