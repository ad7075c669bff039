"""The command's parts: values, cells, masks, advice; and its page, which knows every command and option."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from castiel.azure import dead_letters
from castiel.cli.advice import advice_for
from castiel.cli.cells import cell, heading, milliseconds, short
from castiel.cli.checks import skew_of
from castiel.cli.exits import UsageProblem, exit_code
from castiel.cli.main import app
from castiel.cli.output import plain
from castiel.cli.values import duration, json_or_text, moment, pairs
from castiel.errors import ConfigurationError, Conflict, NotFound, StoreUnavailable

PAGE = Path(__file__).parents[2] / "docs" / "command.md"


def commands(command: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that can be run, with its path."""
    if hasattr(command, "commands"):
        for name, each in command.commands.items():
            yield from commands(each, *path, name)
    else:
        yield path, command


COMMANDS = dict(commands(typer.main.get_command(app)))


def examples() -> list[list[str]]:
    found = re.findall(r"^python -m castiel (?!-)(.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    alone = [part for line in found for part in line.split(" | python -m castiel ")]
    return [shlex.split(re.split(" [<>] ", part)[0]) for part in alone]


def command_of(words: list[str]) -> tuple[str, ...]:
    path = tuple(words[:2]) if tuple(words[:2]) in COMMANDS else tuple(words[:1])
    assert path in COMMANDS, words
    return path


def test_the_page_shows_an_example_of_every_command() -> None:
    assert set(COMMANDS) - {command_of(words) for words in examples()} == set()


@pytest.mark.parametrize("words", examples(), ids=" ".join)
def test_the_pages_examples_parse(words: list[str]) -> None:
    path = command_of(words)
    COMMANDS[path].make_context(" ".join(path), words[len(path) :])


def test_the_page_lists_every_exit_code() -> None:
    from castiel.cli.exits import Exit

    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text("utf-8"), re.MULTILINE)}
    assert listed == {code.value for code in Exit}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_does_and_takes_json_and_settings(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--json", "--settings"} <= options
    assert command.help
    everybodys = {("doctor",), ("dlq", "list"), ("dlq", "replay"), ("dlq", "purge"), ("dlq", "show")}
    everybodys |= {("schemas", "default")}
    if path[0] != "providers" and path not in everybodys:
        [tenant] = [each for each in command.params if "--tenant" in each.opts]
        assert (tenant.required, tenant.envvar) == (True, None)


def test_values_are_read_or_refused() -> None:
    assert duration("15m") == timedelta(minutes=15)
    assert moment("2027-01-31") == datetime(2027, 1, 31, tzinfo=UTC)
    assert moment("2027-01-31T12:00:00+02:00") == datetime(2027, 1, 31, 10, tzinfo=UTC)
    assert pairs(["a=1", "b=text=more", 'c=["x"]']) == {"a": 1, "b": "text=more", "c": ["x"]}
    assert json_or_text("null") is None
    for wrong in (
        lambda: duration("soon"),
        lambda: duration("999999d"),
        lambda: moment("soon"),
        lambda: pairs(["a"]),
    ):
        with pytest.raises(UsageProblem):
            wrong()


def test_a_slow_answer_is_no_wrong_clock() -> None:
    before, after = (datetime(2026, 11, 27, 6, 0, second, tzinfo=UTC) for second in (10, 15))
    seen = {second: skew_of(before, before.replace(second=second), after) for second in (7, 10, 12, 15, 19)}
    assert seen == {7: 3.0, 10: 0.0, 12: 0.0, 15: 0.0, 19: -4.0}


@pytest.mark.parametrize("body", [b"[" * 100_000, b'"\\ud800"', b'{"a": NaN}', b"\xff"])
def test_a_dead_letter_is_shown_whatever_it_holds(body: bytes) -> None:
    shown = dead_letters.readable(body)
    assert json.loads(json.dumps(shown, ensure_ascii=False).encode()) == shown
    assert shown == body.decode(errors="replace")


def test_cells_show_values_and_nothing_that_a_terminal_obeys() -> None:
    today = date(2026, 11, 27)
    assert cell("2026-11-27T05:08:08.123Z", today=today).plain == "05:08:08Z"
    assert cell("2026-11-26T05:08:08Z", today=today).plain == "2026-11-26 05:08Z"
    assert cell("2026-11-26T05:08:08Z").plain == "2026-11-26 05:08:08Z"
    assert cell({"a": [1, "x"], "empty": {}}).plain == "a: 1, x"
    assert cell({"requestCharge": 1983.3599999999997}).plain == "request charge: 1983.36"
    assert cell({"Contact": {"updatedAt": "x", "ended": True}}).plain == "Contact: updated at: x, ended: true"
    assert [cell(each).plain for each in (0.1 + 0.2, 1.0)] == ["0.3", "1.0"]
    assert [cell(each).plain for each in (None, [], True, ["a", "b"])] == ["–", "–", "yes", "a, b"]
    assert cell("\x1b[31m[bold]red").plain == "�[31m[bold]red"
    assert (heading("connectionId"), heading("nextScheduled")) == ("connection", "next scheduled")
    assert (short("contact-" + "a" * 32, 12), milliseconds(5312)) == ("contact-aaa…", "5.3 s")


def test_what_is_named_like_a_secret_is_masked() -> None:
    shown = plain(
        {"clientSecret": "x", "body": {"access_token": "y", "name": "n"}, "secretName": "s", "secret": 3}
    )
    assert shown == {
        "clientSecret": "***",
        "body": {"access_token": "***", "name": "n"},
        "secretName": "s",
        "secret": 3,
    }


def test_exit_codes_and_advice() -> None:
    errors = [UsageProblem("x"), ConfigurationError("x"), NotFound("x"), StoreUnavailable("x"), Conflict("x")]
    assert [int(exit_code(each)) for each in errors] == [2, 2, 3, 4, 1]
    assert "firewall" in advice_for("cosmos", StoreUnavailable("x"), local=False)
    assert "make stack" in advice_for("cosmos", StoreUnavailable("x"), local=True)
    assert "Data Contributor" in advice_for("cosmos", ConfigurationError("x"), local=False)
