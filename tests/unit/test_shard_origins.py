"""Who set which field: each origin is stored once, with the fields that were set together."""

from __future__ import annotations

from datetime import UTC, datetime

from castiel.domain.shards import FieldOrigin, Shard

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
LATER = datetime(2026, 3, 2, tzinfo=UTC)


def _shard() -> Shard:
    shard = Shard(id="contact-1", tenant_id="acme", shard_type="contact", created_at=FIRST, updated_at=FIRST)
    shard.set_fields({"name": "Ada", "city": "London"}, "conn-1", FIRST, "exec-1")
    return shard


def test_fields_set_together_are_stored_with_one_origin() -> None:
    assert _shard().to_json()["fieldOrigins"] == [
        {
            "source": "conn-1",
            "at": "2026-03-01T00:00:00Z",
            "executionId": "exec-1",
            "fields": ["name", "city"],
        }
    ]


def test_each_field_keeps_its_own_origin_through_the_store() -> None:
    shard = _shard()
    shard.set_fields({"city": "Paris"}, "local", LATER, None)
    read = Shard.model_validate(shard.to_json())
    assert read.field_origins == {
        "name": FieldOrigin(source="conn-1", at=FIRST, execution_id="exec-1"),
        "city": FieldOrigin(source="local", at=LATER),
    }
    assert read.to_json() == shard.to_json()


def test_what_an_origin_has_that_we_do_not_know_survives() -> None:
    stored = _shard().to_json()
    stored["fieldOrigins"][0]["by"] = "somebody"
    assert Shard.model_validate(stored).to_json()["fieldOrigins"] == stored["fieldOrigins"]


def test_origins_by_field_name_are_read_too() -> None:
    stored = _shard().to_json()
    stored["fieldOrigins"] = {"name": {"source": "local", "at": "2026-03-02T00:00:00Z"}}
    assert Shard.model_validate(stored).field_origins == {"name": FieldOrigin(source="local", at=LATER)}
