"""What editors, hooks and CI are told: files that can be read, commands that exist, help for every target."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.process import CHECKOUT

JSON = [*sorted((CHECKOUT / ".vscode").glob("*.json")), CHECKOUT / ".devcontainer" / "devcontainer.json"]
WORKFLOW = CHECKOUT / ".github" / "workflows" / "check.yml"
HOOKS = CHECKOUT / ".pre-commit-config.yaml"
PARTS_OF_OTHERS = {"oldest-tests"}


def targets() -> dict[str, str]:
    """The Makefile's targets with their help."""
    lines = (CHECKOUT / "Makefile").read_text("utf-8").splitlines()
    matches = (re.match(r"([a-z][a-z-]*):(?:[^=#]|$)[^#]*(?:## (.*))?", line) for line in lines)
    return {found[1]: found[2] or "" for found in matches if found}


def texts(value: Any) -> Iterator[str]:
    """Every text in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


@pytest.mark.parametrize("file", JSON, ids=lambda file: file.name)
def test_editors_can_read_their_files(file: Path) -> None:
    assert json.loads(file.read_text("utf-8"))


def test_every_target_has_help_and_make_help_shows_it() -> None:
    shown = subprocess.run(  # noqa: S603 - the Makefile's own help
        [shutil.which("make") or "make", "--no-print-directory", "help"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name, text in targets().items():
        if name not in PARTS_OF_OTHERS:
            assert text, f"{name}: needs a line of help"
            assert f"make {name} " in shown


def test_whatever_calls_make_names_a_target() -> None:
    documents = [json.loads(file.read_text("utf-8")) for file in JSON]
    documents.append(yaml.safe_load(WORKFLOW.read_text("utf-8")))
    documents.append((CHECKOUT / ".ci" / "run").read_text("utf-8"))
    called = {
        name
        for document in documents
        for text in texts(document)
        for name in re.findall(r"\bmake ([a-z-]+)", text)
    }
    assert {"setup", "check", "test", "oldest", "stack"} <= called
    assert called <= set(targets())


def test_hooks_are_the_virtual_environments_own() -> None:
    [repository] = yaml.safe_load(HOOKS.read_text("utf-8"))["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"].startswith(".venv/bin/")


def test_ci_runs_on_the_oldest_and_on_the_newest_python() -> None:
    workflow = yaml.safe_load(WORKFLOW.read_text("utf-8"))
    versions = {
        step["with"]["python-version"]
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "python-version" in step.get("with", {})
    }
    assert versions == {"3.11", "3.13"}


def test_a_python_that_is_not_there_is_said_to_be_missing() -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [str(CHECKOUT / "tools" / "find_python.sh"), "99"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Python 3.99" in done.stderr
