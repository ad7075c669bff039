"""The command as a person runs it, over a local stack: arguments in; exit code, stdout and stderr out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from typer.testing import CliRunner

from castiel.bootstrap import Services, build
from castiel.cli.main import app
from infra.local.sandbox.client import SandboxControl
from infra.local.stack import LocalStack
from tests.support.app import settings_for
from tests.support.leaks import assert_nothing_leaked
from tests.support.secrets import vault_secrets

T = TypeVar("T")


@dataclass
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of stdout as one JSON value."""
        return json.loads(self.out)


@dataclass
class Cli:
    """``castiel("tasks", "list", …)`` with a stack's settings in the environment. ``said``: all it has put out."""

    stack: LocalStack
    said: list[str] = field(default_factory=list)

    def __call__(
        self, *arguments: str, stdin: str | None = None, env: Mapping[str, str] | None = None
    ) -> Answer:
        environment = {**self.stack.environment(), **(env or {})}
        result = CliRunner().invoke(app, list(arguments), env=environment, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return self._heard(Answer(result.exit_code, result.stdout, result.stderr))

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """The answer of a command that has to succeed."""
        answer = self(*arguments, "--json", stdin=stdin)
        assert answer.code == 0, answer
        return answer.json

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The command as a process of its own, for one that waits for something. End it with :meth:`ended`."""
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "castiel", *arguments],
            env={**os.environ, **self.stack.environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self, process: subprocess.Popen[str], stdin: str | None = None, read: str = "") -> Answer:
        """What a process answered. ``read``: what of its stderr was read before."""
        try:
            out, err = process.communicate(stdin, timeout=60)
        finally:
            process.kill()
        return self._heard(Answer(process.returncode, out, read + err))

    def does(self, work: Callable[[Services], Awaitable[T]]) -> T:
        """Run something over the same services."""

        async def run() -> T:
            services = build(settings_for(self.stack))
            try:
                return await work(services)
            finally:
                await services.aclose()

        return asyncio.run(run())

    def at(self, provider: str, work: Callable[[SandboxControl], Awaitable[T]]) -> T:
        """Do something at a provider of the sandbox."""

        async def run() -> T:
            url = self.stack.environment()["CASTIEL_SANDBOX_URL"]
            async with SandboxControl(url, provider) as control:
                return await work(control)

        return asyncio.run(run())

    def leaks(self) -> list[str]:
        """The beginnings of secrets in the vault that were put out."""
        secrets, said = self.does(vault_secrets), "".join(self.said)
        assert secrets
        assert said
        return [f"{secret[:4]}…" for secret in secrets if secret in said]

    def _heard(self, answer: Answer) -> Answer:
        self.said += [answer.out, answer.err]
        return answer


@contextlib.contextmanager
def running_cli(
    data: Path | None = None, planted: Callable[[Services], Awaitable[object]] | None = None
) -> Iterator[Cli]:
    """The command over a stack of its own. In the end no secret is in what was put out, stored or sent."""
    with LocalStack(data) as stack:
        cli = Cli(stack)
        if planted is not None:
            cli.does(planted)
        yield cli
        said = "".join(cli.said)
        cli.does(lambda services: assert_nothing_leaked(stack, services, said))


class Terminal:
    """The command at a terminal of 100 columns, and a person who reads and types.

    ``with Terminal(cli, "credentials", "delete", …) as shown: shown.until("Delete"); shown.type("n\\n"); shown.ended()``
    """

    def __init__(self, cli: Cli, *arguments: str) -> None:
        self._cli = cli
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (50, 100))
        self.seen = ""
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "castiel", *arguments],
            env={**os.environ, **cli.stack.environment(), "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def until(self, text: str) -> None:
        """Read until a text was shown, after what was read before."""
        start = len(self.seen)
        while text not in self.seen[start:]:
            self.seen += os.read(self._master, 4096).decode()

    def type(self, text: str) -> None:
        """Type, as a person would: Enter is part of it."""
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """The exit code, after the rest was read."""
        with contextlib.suppress(OSError):  # Linux' word for: nobody has the other end open any more
            while more := os.read(self._master, 4096):
                self.seen += more.decode()
        self._cli.said.append(self.seen)
        return self.process.wait(60)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)
