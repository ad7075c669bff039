"""``castiel schemas``: a provider's own as a beginning, checked, saved, used by a connection, and deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from castiel.bootstrap import Services
from infra.local.sample import SALESFORCE, TENANT, plant
from infra.local.sandbox.client import SandboxControl
from tests.support.cli import Cli, running_cli

pytestmark = [pytest.mark.stack, pytest.mark.slow]

CONNECTION = SALESFORCE.connection_id
FOR = ("--connection", CONNECTION, "-t", TENANT)


@pytest.fixture(scope="module")
def castiel() -> Iterator[Cli]:
    """The sample company's Salesforce connection."""

    async def planted(services: Services) -> None:
        async with SandboxControl(services.settings.castiel_sandbox_url or "", "salesforce") as control:
            await plant(services, control)

    with running_cli(planted=planted) as cli:
        yield cli


@pytest.fixture
def contact(castiel: Cli) -> dict[str, Any]:
    """What one's own schema begins with."""
    return dict(castiel.json("schemas", "default", "salesforce", "Contact"))


def written(folder: Path, document: Any) -> str:
    file = folder / "schema.json"
    file.write_text(json.dumps(document), "utf-8")
    return str(file)


def stored(castiel: Cli) -> list[str]:
    return [each["id"] for each in castiel.json("schemas", "list", "-t", TENANT)]


def test_the_shipped_schema_is_edited_saved_used_and_deleted(
    castiel: Cli, contact: dict[str, Any], tmp_path: Path
) -> None:
    assert {"tenantId", "integrationId", "version"}.isdisjoint(contact)
    own = contact | {"id": "our-contact"}
    kept = [each for each in own["mappings"] if each["field"] != "department"]
    own["mappings"] = [*kept, {"kind": "direct", "field": "team", "source": "Department"}]
    file = written(tmp_path, own)
    assert castiel.json("schemas", "check", file, *FOR) == []
    assert stored(castiel) == []
    saved = castiel("schemas", "save", file, *FOR)
    assert (saved.code, "version 1" in saved.out) == (0, True)
    assert (
        f"connections change {CONNECTION} --tenant {TENANT} --entity Contact=contact@our-contact" in saved.err
    )

    # As it is stored it can be edited and saved again: here, through a pipe.
    shown = castiel("schemas", "show", "our-contact", "-t", TENANT, "--json")
    assert shown.json["mappings"][-1]["field"] == "team"
    again = castiel.json("schemas", "save", "-", *FOR, stdin=shown.out)
    assert (again["version"], again["warnings"]) == (2, [])
    assert "team" in castiel("schemas", "show", "our-contact", "-t", TENANT).out

    use = castiel(
        "connections", "change", CONNECTION, "-t", TENANT, "--entity", "Contact=contact@our-contact"
    )
    assert use.code == 0, use
    [row] = castiel.json("schemas", "list", "-t", TENANT)
    assert (row["entity"], row["shardType"], row["version"]) == ("Contact", "contact", 2)
    assert row["usedBy"] == [f"{CONNECTION} (Contact)"]
    refused = castiel("schemas", "delete", "our-contact", "-t", TENANT, "--yes")
    assert (refused.code, f"used by {CONNECTION} (Contact)" in refused.err) == (1, True)

    castiel.json("connections", "change", CONNECTION, "-t", TENANT, "--entity", "Contact")
    unasked = castiel("schemas", "delete", "our-contact", "-t", TENANT)
    assert (unasked.code, "--yes" in unasked.err, stored(castiel)) == (2, True, ["our-contact"])
    castiel.json("schemas", "delete", "our-contact", "-t", TENANT, "--yes")
    assert castiel("schemas", "show", "our-contact", "-t", TENANT).code == 3


def test_every_problem_is_told_with_its_field_and_nothing_is_stored(
    castiel: Cli, contact: dict[str, Any], tmp_path: Path
) -> None:
    wrong = contact | {
        "id": "wrong",
        "labelField": "nmae",
        "mappings": [
            *contact["mappings"],
            {"kind": "direct", "field": "mail", "source": "Emial"},
            {"kind": "transform", "field": "mobile", "source": "Phone", "transforms": ["fone"]}
            | {"direction": "inbound"},
        ],
    }
    file = written(tmp_path, wrong)
    last = len(wrong["mappings"]) - 1
    checked = castiel("schemas", "check", file, *FOR, "--json")
    assert checked.code == 1
    found = {each["field"]: each for each in checked.json if each["severity"] == "error"}
    assert set(found) == {"labelField", f"mappings[{last - 1}] (mail)", f"mappings[{last}] (mobile)"}
    assert found["labelField"]["suggestion"] == "did you mean 'name'?"
    assert found[f"mappings[{last - 1}] (mail)"]["message"] == "the entity has no field 'Emial'"
    refused = castiel("schemas", "save", file, *FOR)
    assert refused.code == 2
    assert all(field in refused.err for field in found)
    assert "did you mean 'Email'?" in castiel("schemas", "check", file, *FOR).out

    no_form = written(tmp_path, {"id": "wrong", "entity": "Contact", "tenantId": "globex", "mappings": [{}]})
    fields = {each["field"] for each in castiel("schemas", "check", no_form, *FOR, "--json").json}
    assert fields == {"shardType", "mappings.0"}
    of_others = written(tmp_path, contact | {"tenantId": "globex"})
    assert "not the connection's" in castiel("schemas", "save", of_others, *FOR).err
    assert stored(castiel) == []


def test_a_warning_is_shown_and_does_not_refuse(
    castiel: Cli, contact: dict[str, Any], tmp_path: Path
) -> None:
    mappings = [each for each in contact["mappings"] if each["field"] != "lastName"]
    file = written(tmp_path, contact | {"id": "no-last-name", "mappings": mappings})
    checked = castiel("schemas", "check", file, *FOR, "--json")
    assert (checked.code, [each["severity"] for each in checked.json]) == (0, ["warning"])
    saved = castiel("schemas", "save", file, *FOR)
    assert (saved.code, "warning: mappings: 'LastName' is required" in saved.err) == (0, True)
    # The id of one entity's schema is not another entity's to take.
    account = castiel.json("schemas", "default", "salesforce", "Account") | {"id": "no-last-name"}
    taken = castiel("schemas", "save", written(tmp_path, account), *FOR)
    assert (taken.code, "choose another id" in taken.err) == (2, True)
    castiel.json("schemas", "delete", "no-last-name", "-t", TENANT, "--yes")


def test_what_is_no_schema_is_refused_by_name(castiel: Cli, tmp_path: Path) -> None:
    for content, says in (("[]", "JSON object"), ('{"id": ,}', "line 1"), ('{"id": NaN}', "not JSON")):
        refused = castiel("schemas", "check", "-", *FOR, stdin=content)
        assert (refused.code, refused.err.startswith("stdin: "), says in refused.err) == (2, True, True)
    missing = castiel("schemas", "save", str(tmp_path / "none.json"), *FOR)
    assert (missing.code, "none.json: can't be read" in missing.err) == (2, True)
    unknown = castiel("schemas", "default", "salesforce", "contact")
    assert (unknown.code, "did you mean 'Contact'?" in unknown.err) == (3, True)
    assert castiel("schemas", "default", "netsuite", "Contact").code == 2


def test_another_tenant_sees_none_of_them(castiel: Cli, contact: dict[str, Any], tmp_path: Path) -> None:
    file = written(tmp_path, contact | {"id": "ours"})
    castiel.json("schemas", "save", file, *FOR)
    assert castiel.json("schemas", "list", "-t", "globex") == []
    assert castiel("schemas", "show", "ours", "-t", "globex").code == 3
    assert castiel("schemas", "delete", "ours", "-t", "globex", "--yes").code == 3
    for verb in ("check", "save"):
        assert castiel("schemas", verb, file, "--connection", CONNECTION, "-t", "globex").code == 3
    assert stored(castiel) == ["ours"]
