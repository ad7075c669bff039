"""Ports that are reserved: free, below the outgoing ones, and nobody else's until they are let go."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from infra.local import ports
from infra.local.ports import FIRST, LAST, NoFreePortError, ReservedPort

ASK = "from infra.local import ports; ports.FIRST = ports.LAST = {port}; ports._ATTEMPTS = 1; ports.ReservedPort()"


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> int:
    """One free port, which is then the only one there is."""
    port = ReservedPort().number
    monkeypatch.setattr(ports, "FIRST", port)
    monkeypatch.setattr(ports, "LAST", port)
    monkeypatch.setattr(ports, "_ATTEMPTS", 1)
    return port


def test_it_is_free_and_not_one_that_an_outgoing_connection_may_get() -> None:
    reserved = ReservedPort()
    assert FIRST <= reserved.number <= LAST < 32_768
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", reserved.number))


def test_nobody_else_gets_it_until_it_is_let_go(only: int) -> None:
    reserved = ReservedPort()
    assert reserved.number == only
    with pytest.raises(NoFreePortError):
        ReservedPort()
    other = [sys.executable, "-c", ASK.format(port=only)]
    refused = subprocess.run(other, capture_output=True, text=True, check=False)  # noqa: S603
    assert "NoFreePortError" in refused.stderr
    del reserved
    assert subprocess.run(other, check=False).returncode == 0  # noqa: S603
    assert ReservedPort().number == only


def test_one_that_somebody_listens_on_is_passed_by(only: int) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", only))
        listener.listen()
        with pytest.raises(NoFreePortError):
            ReservedPort()
