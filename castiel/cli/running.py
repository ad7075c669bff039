"""What every command shares: settings, services, output, errors and confirmation."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from castiel.cli.cells import printable
from castiel.cli.environment import load_environment
from castiel.cli.exits import Exit, UsageProblem, exit_code
from castiel.cli.output import Output, plain
from castiel.errors import AlreadyExists, CastielError, ConfigurationError, NotFound
from castiel.redaction import install_redaction, redact

if TYPE_CHECKING:
    from castiel.bootstrap import Services

T = TypeVar("T")

Tenant = Annotated[
    str, typer.Option("--tenant", "-t", help="Whose data: always said, never guessed.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Show at most so many.")]

_JSON = typer.Option("--json", help="JSON on stdout, and nothing else.")
_SETTINGS = typer.Option(
    "--settings",
    help="Read this local.settings.json. Without it: the environment, else the file in this folder.",
    show_default=False,
)


@dataclass
class Run:
    """One command's run."""

    output: Output
    built: Services | None = None

    @property
    def services(self) -> Services:
        """The services over the settings."""
        if self.built is None:
            raise RuntimeError("this command builds no services")
        return self.built

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    def correlation_id(self) -> str:
        """What the changes of one decision are known by: in messages, results and the history of fields."""
        return f"castiel-{uuid.uuid4().hex[:16]}"

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before what can't be undone. Raises :class:`UsageProblem` where nobody can answer."""
        if yes:
            return
        if self.output.as_json or not sys.stdin.isatty():
            raise UsageProblem(f"{question} It can't be undone: add --yes.")
        with answerable():
            agreed = typer.confirm(f"{question} It can't be undone.", err=True)
        if not agreed:
            raise CastielError("Nothing was done.")

    async def named(self, what: str, looking: Awaitable[T]) -> T:
        """What is looked for or made; when it is not there, or there already, the error says what."""
        try:
            return await looking
        except NotFound:
            raise NotFound(f"there is no {what}") from None
        except AlreadyExists:
            raise AlreadyExists(f"there is a {what} already") from None


@contextmanager
def answerable() -> Iterator[None]:
    """While a person is asked, Ctrl-C ends the command at once: asyncio's own handler waits for the event loop."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except typer.Abort:
        # Typer's word for Ctrl-C and for an end of the input.
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


Command = Callable[..., Awaitable[None]]


def group(description: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=description, no_args_is_help=True, rich_markup_mode=None)


def command(
    app: typer.Typer, name: str, *, with_services: bool = True
) -> Callable[[Command], Callable[..., None]]:
    """Make an ``async`` function with a first argument ``run`` a command, with ``--json`` and ``--settings``."""

    def decorate(function: Command) -> Callable[..., None]:
        hints = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [each.replace(annotation=hints[each.name], kind=keyword) for each in own]
        parameters += [
            inspect.Parameter("as_json", keyword, default=False, annotation=Annotated[bool, _JSON]),
            inspect.Parameter(
                "settings", keyword, default=None, annotation=Annotated[Path | None, _SETTINGS]
            ),
        ]

        @functools.wraps(function)
        def wrapper(*, as_json: bool, settings: Path | None, **arguments: Any) -> None:
            output = Output(as_json=as_json)
            code = _run(output, settings, with_services, lambda run: function(run, **arguments))
            if code is not Exit.OK:
                raise typer.Exit(code)

        vars(wrapper)["__signature__"] = inspect.Signature(parameters)
        wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
        del vars(wrapper)["__wrapped__"]
        app.command(name)(wrapper)
        return wrapper

    return decorate


def _run(
    output: Output, settings: Path | None, with_services: bool, work: Callable[[Run], Awaitable[None]]
) -> Exit:
    logging.basicConfig(level=logging.CRITICAL)
    install_redaction()
    try:
        load_environment(settings)
        asyncio.run(_with_services(output, work) if with_services else _alone(output, work))
    except CastielError as error:
        return _tell(output, error)
    except KeyboardInterrupt:
        output.remark("Interrupted.")
        return Exit.INTERRUPTED
    return Exit.OK


async def _alone(output: Output, work: Callable[[Run], Awaitable[None]]) -> None:
    await work(Run(output))


async def _with_services(output: Output, work: Callable[[Run], Awaitable[None]]) -> None:
    # Here, not above: `--help` need not load the SDKs.
    from castiel.bootstrap import build
    from castiel.settings import load_settings

    try:
        services = build(load_settings())
    except ConfigurationError as error:
        raise UsageProblem(f"{error}\n`python -m castiel doctor` says how to mend this.") from None
    try:
        await work(Run(output, services))
    finally:
        await services.aclose()


class ChecksFailed(CastielError):
    """A check failed; its own output has said which."""


def _tell(output: Output, error: CastielError) -> Exit:
    code = exit_code(error)
    if isinstance(error, ChecksFailed):
        return code
    sentence = printable(redact(str(error)))
    if output.as_json:
        output.json({"error": plain({"code": error.code, "message": sentence, "retryable": error.retryable})})
    output.remark(f"{error.code}: {sentence}" if not isinstance(error, UsageProblem) else sentence)
    return code
