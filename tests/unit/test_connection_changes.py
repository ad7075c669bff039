"""What may be changed in a connection, by the rules by which it is added; and who wins when two change it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from castiel.adapters.base import Provider
from castiel.adapters.registry import load_providers
from castiel.domain.connections import Connection, EntitySync
from castiel.domain.conversion import ConversionSchema
from castiel.domain.tasks import SyncMode
from castiel.errors import ConfigurationError, Conflict, InvalidInput, NotFound
from castiel.services.connection_changes import ChangedEntity, ConnectionChange, changed
from castiel.services.connection_rules import NewEntity
from castiel.services.connections import ConnectionManagement, NewConnection
from castiel.services.conversion import ConversionSchemaService
from castiel.services.integrations import Integrations
from tests.support.fakes.coordination import YieldingClock
from tests.support.fakes.documents import MemoryConnections
from tests.support.fakes.records import MemorySchemas

TENANT = "acme"
PROVIDERS = load_providers()


def connection(**more: Any) -> Connection:
    entities = [
        EntitySync(entity="Account", shard_type="company", direction=SyncMode.PULL, enabled=False),
        EntitySync(entity="Contact", shard_type="person", schema_id="ours"),
    ]
    values: dict[str, Any] = {"settings": {"baseUrl": "https://acme.example", "apiVersion": "61.0"}, **more}
    return Connection(
        id="conn-sf",
        tenant_id=TENANT,
        integration_id="salesforce",
        credential_id="cred-sf",
        name="Sales",
        entities=entities,
        **values,
    )


def after(change: ConnectionChange, before: Connection | None = None) -> Connection:
    return changed(before or connection(), change, PROVIDERS.get("salesforce"), ["ours"])


def entities(found: Connection) -> list[tuple[str, str, str, str | None, bool]]:
    return [(e.entity, e.shard_type, e.direction.value, e.schema_id, e.enabled) for e in found.entities]


ACCOUNT = ("Account", "company", "pull", None, False)
CONTACT = ("Contact", "person", "bidirectional", "ours", True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (ConnectionChange(), [ACCOUNT, CONTACT]),
        (ConnectionChange(entities=(ChangedEntity("Lead"),)),
         [ACCOUNT, CONTACT, ("Lead", "lead", "bidirectional", None, True)]),
        (ConnectionChange(entities=(ChangedEntity("Lead", "person"),), directions={"Lead": SyncMode.PUSH},
                          enabled={"Lead": False}),
         [ACCOUNT, CONTACT, ("Lead", "person", "push", None, False)]),
        # In the place of one that there is: its direction and its switch stay, its schema does not.
        (ConnectionChange(entities=(ChangedEntity("Contact"),)),
         [ACCOUNT, ("Contact", "contact", "bidirectional", None, True)]),
        (ConnectionChange(entities=(ChangedEntity("Account", "org", "theirs"),)),
         [("Account", "org", "pull", "theirs", False), CONTACT]),
        (ConnectionChange(directions={"Contact": SyncMode.PULL}),
         [ACCOUNT, ("Contact", "person", "pull", "ours", True)]),
        (ConnectionChange(enabled={"Account": True, "Contact": False}),
         [("Account", "company", "pull", None, True), ("Contact", "person", "bidirectional", "ours", False)]),
        (ConnectionChange(remove=("Account",)), [CONTACT]),
    ],
    ids=["nothing", "add", "add-with-all", "replace", "replace-whole", "direction", "switch", "remove"],
)  # fmt: skip
def test_entities_are_added_replaced_turned_switched_and_removed(
    change: ConnectionChange, expected: list[tuple[Any, ...]]
) -> None:
    before = connection()
    assert entities(after(change, before)) == expected
    assert before == connection()


def test_what_is_only_read_is_only_pulled_as_when_it_is_added() -> None:
    provider = PROVIDERS.get("github")
    [read_only] = provider.capabilities.read_only_entities
    before = Connection(id="conn-gh", tenant_id=TENANT, integration_id="github", credential_id="c")
    added = changed(before, ConnectionChange(entities=(ChangedEntity(read_only),)), provider, [])
    assert [each.direction for each in added.entities] == [SyncMode.PULL]
    with pytest.raises(InvalidInput, match="can only be read"):
        changed(added, ConnectionChange(directions={read_only: SyncMode.PUSH}), provider, [])


def test_the_rest_is_changed_and_what_is_not_named_stays() -> None:
    found = after(
        ConnectionChange(
            name="",
            settings={"apiVersion": "62.0"},
            unset=("baseUrl",),
            conflict_policy={"strategy": "manual"},
            deduplicate=False,
        )
    )
    assert (found.name, found.settings, found.deduplicate) == (None, {"apiVersion": "62.0"}, False)
    assert found.conflict_policy == {"strategy": "manual"}
    back = after(ConnectionChange(conflict_policy={}), found)
    assert (back.conflict_policy, back.deduplicate) == (None, False)
    assert after(ConnectionChange(deduplicate=True, name="Sales")) == connection()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (ConnectionChange(settings={"baseurl": "x"}), "did you mean baseUrl"),
        (ConnectionChange(unset=("apiversion",)), "not set; did you mean apiVersion"),
        (ConnectionChange(settings={"apiVersion": "62.0"}, unset=("apiVersion",)), "set and unset"),
        (ConnectionChange(entities=(ChangedEntity("Contacts"),)), "did you mean Contact"),
        (ConnectionChange(entities=(ChangedEntity("Lead"), ChangedEntity("Lead", "person"))), "Lead twice"),
        (ConnectionChange(entities=(ChangedEntity("Contact"),), remove=("Contact",)), "Contact twice"),
        (ConnectionChange(entities=(ChangedEntity("Thing__c", None, "ours"),)), "name the shard type"),
        (ConnectionChange(remove=("Lead",)), "conn-sf has no 'Lead'"),
        (ConnectionChange(directions={"Contakt": SyncMode.PULL}), "did you mean Contact"),
        (ConnectionChange(enabled={"Account": True}, remove=("Account",)), "has no 'Account'"),
        (ConnectionChange(conflict_policy={"strategy": "newest"}), "conflictPolicy"),
        (ConnectionChange(conflict_policy={"strategy": "custom", "resolver": "our"}), "did you mean ours"),
    ],
)
def test_what_is_wrong_is_refused_with_its_field(change: ConnectionChange, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        after(change)


class _Providers:
    def provider(self, integration_id: str) -> Provider:
        return PROVIDERS.get(integration_id)


class _Contested(MemoryConnections):
    """Somebody else writes between our read and our write, once."""

    contested = False

    async def get(self, tenant_id: str, connection_id: str) -> Connection:
        found = await super().get(tenant_id, connection_id)
        if self.contested:
            self.contested = False
            other = await super().get(tenant_id, connection_id)
            other.name = "Theirs"
            await self.replace(other)
        return found


def management(store: MemoryConnections, stored: MemorySchemas | None = None) -> ConnectionManagement:
    integrations, clock = cast("Integrations", _Providers()), YieldingClock()
    schemas = ConversionSchemaService(stored or MemorySchemas(), integrations, clock, {})
    return ConnectionManagement(store, integrations, schemas, [], clock)


async def test_of_two_changes_at_once_the_second_is_refused_and_writes_nothing() -> None:
    store = _Contested()
    await store.create(connection())
    change = ConnectionChange(settings={"apiVersion": "62.0"})
    store.contested = True
    with pytest.raises(Conflict, match="conn-sf was changed by somebody else meanwhile"):
        await management(store).change(TENANT, "conn-sf", change)
    stored = await store.get(TENANT, "conn-sf")
    assert (stored.name, stored.settings["apiVersion"]) == ("Theirs", "61.0")
    again = await management(store).change(TENANT, "conn-sf", change)
    assert (again.name, again.settings["apiVersion"]) == ("Theirs", "62.0")
    assert (await store.get(TENANT, "conn-sf")) == again


async def test_only_what_is_new_needs_its_schema_and_nothing_new_writes_nothing() -> None:
    store = MemoryConnections()
    made = await store.create(connection())
    manage = management(store)
    # ``ours``, which Contact names, is not there: that is not this change's to mend.
    renamed = await manage.change(TENANT, "conn-sf", ConnectionChange(name="Shop"))
    assert (renamed.name, renamed.updated_at is not None) == ("Shop", True)
    with pytest.raises(ConfigurationError, match="entity Account, schemaId: there is no such schema"):
        await manage.change(
            TENANT, "conn-sf", ConnectionChange(entities=(ChangedEntity("Account", "company", "none"),))
        )
    same = await manage.change(TENANT, "conn-sf", ConnectionChange(name="Shop"))
    assert same.etag == (await store.get(TENANT, "conn-sf")).etag == renamed.etag
    assert made.tenant_id == TENANT
    with pytest.raises(NotFound):
        await manage.change("globex", "conn-sf", ConnectionChange(name="Mine"))


async def test_an_entity_is_not_given_the_schema_of_another() -> None:
    schemas, store = MemorySchemas(), MemoryConnections()
    document = {"id": "our-lead", "tenantId": TENANT, "integrationId": "salesforce", "entity": "Lead"}
    mapping = {"kind": "direct", "field": "name", "source": "Name"}
    await schemas.put(
        ConversionSchema.model_validate({**document, "shardType": "lead", "mappings": [mapping]})
    )
    made = await store.create(connection())
    manage = management(store, schemas)
    for given, integration in (("Contact", "salesforce"), ("Lead", "google")):
        new = NewConnection("other", TENANT, integration, (NewEntity(given, "lead", schema_id="our-lead"),))
        with pytest.raises(InvalidInput, match=r"our-lead is of salesforce's Lead, not of .*" + given):
            await manage.add(new)
    wrong = ConnectionChange(entities=(ChangedEntity("Contact", "contact", "our-lead"),))
    with pytest.raises(InvalidInput, match="our-lead"):
        await manage.change(TENANT, "conn-sf", wrong)
    assert (await store.get(TENANT, "conn-sf")) == made
    right = ConnectionChange(entities=(ChangedEntity("Lead", "lead", "our-lead"),))
    assert (await manage.change(TENANT, "conn-sf", right)).entity("Lead") is not None
