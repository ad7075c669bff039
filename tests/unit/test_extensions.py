"""Functions that an installed package adds by its entry points."""

from __future__ import annotations

from pathlib import Path

import pytest

from castiel.domain.conflicts import BUILT_IN, UNRESOLVED, FieldVersions
from castiel.errors import ConfigurationError
from castiel.extensions import load_matchers, load_resolvers

MODULE = """
def loudest(versions):
    return max(str(versions.local), str(versions.external))

def initials(one, other):
    return float(one[:1] == other[:1])

def secretive(versions):
    raise KeyError(versions.local)

def odd(versions):
    return {versions.local, versions.external}

def pair(versions):
    return (versions.local, versions.external)

def picky(one, other):
    return one["length"] / other["length"]

NUMBER = 7
"""


def install(folder: Path, entry_points: str, name: str = "our_rules") -> None:
    """Put a package with entry points on the path, as an installer does."""
    (folder / f"{name}.py").write_text(MODULE, encoding="utf-8")
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8"
    )
    (metadata / "entry_points.txt").write_text(entry_points, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_without_packages_there_are_castiels_own() -> None:
    assert load_resolvers() == dict(BUILT_IN)
    assert load_matchers() == {}


def test_an_installed_function_is_found_by_its_name(site: Path) -> None:
    install(
        site,
        "[castiel.resolvers]\nloudest = our_rules:loudest\n[castiel.matchers]\ninitials = our_rules:initials\n",
    )
    versions = FieldVersions("title", None, "a", "b")
    assert load_resolvers()["loudest"](versions) == "b"
    assert load_matchers()["initials"]("Ada", "Augusta") == 1.0


@pytest.mark.parametrize("name", ["secretive", "odd"])
def test_a_resolver_that_fails_leaves_the_field_to_a_person_and_logs_no_value(
    site: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    install(site, f"[castiel.resolvers]\nours = our_rules:{name}\n")
    versions = FieldVersions("title", None, "the Countess", "the Author")
    assert load_resolvers()["ours"](versions) is UNRESOLVED
    assert "function 'ours' of castiel.resolvers failed" in caplog.text
    assert "Countess" not in caplog.text


def test_what_a_resolver_returns_is_json(site: Path) -> None:
    install(site, "[castiel.resolvers]\nours = our_rules:pair\n")
    assert load_resolvers()["ours"](FieldVersions("title", None, "a", "b")) == ["a", "b"]


def test_a_match_function_that_fails_finds_nothing_alike(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install(site, "[castiel.matchers]\nours = our_rules:picky\n")
    compare = load_matchers()["ours"]
    assert compare({"length": 1}, {"length": 2}) == 0.5
    assert compare("1 m", "2 m") == 0.0
    assert "function 'ours' of castiel.matchers failed: TypeError" in caplog.text


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("broken = nowhere_at_all:f", "can't be imported"),
        ("broken = our_rules:missing", "can't be imported"),
        ("broken = our_rules:NUMBER", "no function"),
        ("longest = our_rules:loudest", "taken"),
    ],
)
def test_one_that_cannot_be_used_is_named_at_the_start(site: Path, line: str, problem: str) -> None:
    install(site, f"[castiel.resolvers]\n{line}\n")
    with pytest.raises(ConfigurationError, match=problem) as raised:
        load_resolvers()
    assert line.split(" ")[0] in str(raised.value)


def test_two_packages_must_not_share_a_name(site: Path) -> None:
    install(site, "[castiel.matchers]\nsame = our_rules:initials\n")
    install(site, "[castiel.matchers]\nsame = other_rules:initials\n", name="other_rules")
    with pytest.raises(ConfigurationError, match="taken"):
        load_matchers()
