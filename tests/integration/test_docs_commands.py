"""The documents' commands, run as they stand: each block marked ``sh runnable``, over one local stack with its sample."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from infra.local.process import CHECKOUT
from infra.local.sample import SALESFORCE, make_due, plant
from infra.local.session import Session
from infra.local.steps import finished_task, schedule, signed_webhook
from tests.support.app import running_app
from tests.support.markdown import Block, blocks, markdown_files

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

MARKED = [block for file in markdown_files() for block in blocks(file) if "runnable" in block.info]
UNTIL = re.compile(r'until="([^"]+)"')


OF_MAKE = frozenset({"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "ARGS"})


@dataclass
class Shell:
    """Runs blocks as a reader would, with the virtual environment active."""

    session: Session
    folder: Path

    def environment(self) -> dict[str, str]:
        python = Path(os.environ.get("VIRTUAL_ENV", CHECKOUT / ".venv"), "bin")
        return {
            # A reader's `make run` is not part of the `make test` that runs this, nor takes its arguments.
            **{name: value for name, value in os.environ.items() if name not in OF_MAKE},
            **self.session.stack.environment(),
            "PATH": f"{python}{os.pathsep}{os.environ['PATH']}",
            "CASTIEL_URL": self.session.url,
            # For `make run`: beside whatever else runs on this machine, and without leaving anything.
            "ARGS": f"--ports auto --port 0 --memory --settings {self.folder / 'run.settings.json'}",
            "NO_COLOR": "1",
            "COLUMNS": "120",
        }

    async def start(self, block: Block) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "bash",
            "-euo",
            "pipefail",
            "-c",
            block.text,
            cwd=CHECKOUT,
            env=self.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shell() -> AsyncIterator[Shell]:
    """The sample company, one pull and one webhook later."""
    with tempfile.TemporaryDirectory(prefix="castiel-docs-") as folder:
        async with running_app() as app:
            async with app.control("salesforce") as control:
                await plant(app.services, control, SALESFORCE)
            await make_due(app.services)
            await schedule(app)
            await finished_task(app)
            await signed_webhook(app)
            yield Shell(app, Path(folder))


@pytest.mark.parametrize("block", MARKED, ids=lambda block: block.place)
async def test_the_commands_run(shell: Shell, block: Block) -> None:
    awaited = UNTIL.search(block.info)
    process = await shell.start(block)
    try:
        if awaited is None:
            said, _ = await process.communicate()
            assert process.returncode == 0, said.decode()
        else:
            await _served(process, awaited.group(1))
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _served(process: asyncio.subprocess.Process, text: str) -> None:
    """Wait for what the page says one will see, then press Ctrl-C."""
    said = ""
    assert process.stdout is not None
    while text not in said:
        line = await process.stdout.readline()
        assert line, said
        said += line.decode()
    os.killpg(process.pid, signal.SIGINT)
    rest, _ = await process.communicate()
    # The shell, or make, may say that it was interrupted; what it ran has to have ended well.
    assert process.returncode in (0, -signal.SIGINT, 128 + signal.SIGINT), said
    assert "Traceback" not in rest.decode(), rest.decode()
