"""GitHub's small parts: ids, markers, settings, payloads, default schemas."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from castiel.adapters.github import PROVIDER
from castiel.adapters.github.describe import descriptions
from castiel.adapters.github.ids import ItemId, parse_item
from castiel.adapters.github.marker import has_key, is_deleted, with_deleted, with_key, without_marks
from castiel.adapters.github.payloads import changes_of, creation_of
from castiel.adapters.github.settings import repository_name
from castiel.domain.conversion import ConversionSchema, to_external, to_shard, validate_schema
from castiel.errors import ConfigurationError, SchemaMismatch

SCHEMAS = {data["entity"]: ConversionSchema.model_validate(data) for data in PROVIDER.default_schemas}
ISSUE: dict[str, Any] = {
    "number": 1347,
    "title": "Found a bug",
    "body": "I'm having a problem with this.",
    "state": "open",
    "state_reason": None,
    "html_url": "https://github.com/octocat/Hello-World/issues/1347",
    "user": {"login": "octocat", "id": 1},
    "labels": [{"id": 2, "name": "odd"}, {"id": 1, "name": "bug"}],
    "assignees": [{"login": "octocat", "id": 1}],
    "milestone": None,
    "repository": "octocat/Hello-World",
    "created_at": "2011-04-22T13:33:48Z",
    "updated_at": "2011-04-22T13:33:48Z",
    "closed_at": None,
}


@given(st.integers(0, 10**18), st.integers(0, 10**9))
def test_an_id_reads_as_it_was_written(repository: int, number: int) -> None:
    item = ItemId(repository, number)
    assert parse_item(str(item)) == item


@pytest.mark.parametrize("text", [None, "", "1", "1-", "-1", "1-2-3", "a-b", "1/2", "1-²", "1 -2", "1-2\n"])
def test_what_is_no_id_is_told(text: str | None) -> None:
    assert parse_item(text) is None


@given(st.one_of(st.none(), st.text()))
def test_a_marked_body_reads_as_it_was(body: str | None) -> None:
    marked = with_deleted(with_key(body, "issue-1"))
    assert has_key(marked, "issue-1")
    assert is_deleted(marked)
    assert with_deleted(marked) == marked
    if body is None or "castiel:" not in body:
        assert without_marks(marked) == (body or None)
    assert not has_key(marked, "issue-2")


def test_a_key_is_written_once() -> None:
    assert with_key(with_key("Text", "a"), "a") == "Text\n\n<!-- castiel:a -->"


@pytest.mark.parametrize(
    "name", ["octo/..", "octo/.", "octo", "/x", "a/b/c", "a b/c", "octo/x?y", "-a/b", 7, None]
)
def test_a_repository_that_is_none_is_refused(name: object) -> None:
    with pytest.raises(ConfigurationError, match="owner/name"):
        repository_name(name, "repositories")


def test_what_is_read_as_objects_is_written_as_names() -> None:
    body, state = creation_of(
        "Issue", {"title": "x", "labels": [{"name": "bug"}], "assignees": ["octocat"], "state": "open"}
    )
    assert (body, state) == ({"title": "x", "labels": ["bug"], "assignees": ["octocat"]}, None)
    assert changes_of("Issue", {"milestone": {"number": 3}, "state_reason": None}) == {"milestone": 3}
    assert changes_of("PullRequest", {"head": "topic", "base": {"ref": "main"}}) == {"base": "main"}


def test_fields_that_github_does_not_take_are_named_without_values() -> None:
    with pytest.raises(SchemaMismatch, match="colour") as refused:
        changes_of("Issue", {"colour": "secret words", "title": "x"})
    assert "secret words" not in str(refused.value)


def test_an_issue_becomes_a_shard_and_goes_back() -> None:
    fields = to_shard(SCHEMAS["Issue"], ISSUE).fields
    assert fields["labels"] == ["bug", "odd"]
    assert (fields["assignees"], fields["author"]) == (["octocat"], "octocat")
    assert (fields["description"], fields["repository"]) == (ISSUE["body"], "octocat/Hello-World")
    back = to_external(SCHEMAS["Issue"], fields)
    assert creation_of("Issue", back)[0] == {
        "title": "Found a bug",
        "body": ISSUE["body"],
        "labels": ["bug", "odd"],
        "assignees": ["octocat"],
    }


def test_a_merged_pull_request_is_not_just_closed() -> None:
    branches = {"head": {"ref": "topic"}, "base": {"ref": "main"}, "draft": False}
    pull = ISSUE | branches | {"state": "closed", "merged_at": "2011-04-23T13:33:48Z"}
    fields = to_shard(SCHEMAS["PullRequest"], pull).fields
    assert (fields["state"], fields["sourceBranch"], fields["targetBranch"]) == ("merged", "topic", "main")
    back = to_external(SCHEMAS["PullRequest"], fields)
    assert (back["state"], back["head"], back["base"]) == ("closed", "topic", "main")


@pytest.mark.parametrize("entity", [entity.name for entity in descriptions()])
def test_default_schemas_fit_the_described_fields(entity: str) -> None:
    found = next(one for one in descriptions() if one.name == entity)
    problems = validate_schema(SCHEMAS[entity], found.fields)
    assert [str(problem) for problem in problems if problem.severity == "error"] == []
