"""The command as a person runs it, over a local stack: arguments in; exit code, stdout and stderr out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from typer.testing import CliRunner

from castiel.bootstrap import Services, build
from castiel.cli.main import app
from infra.local.stack import LocalStack
from tests.support.app import settings_for

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
    """``castiel("tasks", "list", …)`` with a stack's settings in the environment."""

    stack: LocalStack

    def __call__(self, *arguments: str, stdin: str | None = None) -> Answer:
        result = CliRunner().invoke(app, list(arguments), env=self.stack.environment(), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        """The answer of a command that has to succeed."""
        answer = self(*arguments, "--json", stdin=stdin)
        assert answer.code == 0, answer
        return answer.json

    def does(self, work: Callable[[Services], Awaitable[T]]) -> T:
        """Run something over the same services."""

        async def run() -> T:
            services = build(settings_for(self.stack))
            try:
                return await work(services)
            finally:
                await services.aclose()

        return asyncio.run(run())
