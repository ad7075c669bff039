"""``python -m infra.local.host``: what it says when it cannot run, and `func` instead of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.echo_app import ECHO_APP

pytestmark = pytest.mark.stack

CHECKOUT = Path(__file__).resolve().parents[2]


def _run(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PATH": path} if path else {})}
    command = [sys.executable, "-m", "infra.local.host", "--memory", *arguments]
    return subprocess.run(  # noqa: S603 - our own module
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_func_runs_the_app_where_it_is_installed(tmp_path: Path) -> None:
    func = tmp_path / "func"
    func.write_text('#!/bin/sh\necho "func $* in $PWD"\n', encoding="utf-8")
    func.chmod(0o755)
    done = _run(
        "--prefer-func", "--app-dir", str(ECHO_APP), "--port", "7999", path=f"{tmp_path}:/usr/bin:/bin"
    )
    assert done.stdout == f"func start --port 7999 in {ECHO_APP}\n"


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    done = _run("--app-dir", str(ECHO_APP), "--port", "0")
    assert done.returncode == 2
    assert "ECHO_SCHEDULE" in done.stderr
    assert done.stdout == ""


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    done = _run("--app-dir", str(ECHO_APP), "--settings", str(tmp_path / "none.json"))
    assert done.returncode == 2
    assert "none.json" in done.stderr
