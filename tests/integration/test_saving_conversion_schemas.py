"""A conversion schema is held to the fields its connection's account really has when it is saved, at every provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from castiel.domain.conversion import ConversionSchema
from castiel.domain.matching import default_rules
from castiel.errors import Conflict, InvalidInput, NotFound
from infra.local.sample import OTHERS, SALESFORCE, TENANT, SampleProvider, plant
from tests.support.app import InProcess, running_services

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EVERYBODY = {sample.integration_id: sample for sample in (SALESFORCE, *OTHERS)}
CONTACT: dict[str, Any] = {
    "id": "our-contact",
    "entity": "Contact",
    "shardType": "contact",
    "mappings": [
        {"kind": "direct", "field": "lastName", "source": "LastName", "required": True},
        {"kind": "transform", "field": "email", "source": "Email", "transforms": ["trim", "email"]},
    ],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app() -> AsyncIterator[InProcess]:
    async with running_services() as running:
        for sample in EVERYBODY.values():
            async with running.control(sample.integration_id) as control:
                await plant(running.services, control, sample)
        yield running


async def connection(app: InProcess, sample: SampleProvider = SALESFORCE) -> Any:
    return await app.services.stores.connections.get(sample.tenant, sample.connection_id)


@pytest.mark.parametrize("integration", EVERYBODY)
async def test_every_entity_of_every_provider_has_a_default_schema_that_fits_it(
    app: InProcess, integration: str
) -> None:
    provider = app.services.integrations.provider(integration)
    schemas = [ConversionSchema.model_validate(data) for data in provider.default_schemas]
    assert {schema.entity for schema in schemas} == set(provider.capabilities.entities)
    there = await connection(app, EVERYBODY[integration])
    for schema in schemas:
        problems = [str(each) for each in await app.services.schemas.problems(there, schema)]
        # New messages go to the connection's defaultChannel, which this one does not set.
        expected = 1 if schema.entity == "Message" else 0
        assert len(problems) == expected, problems
        assert all("'channel' is required to create a record" in each for each in problems)


async def test_a_saved_schema_is_used_and_each_change_is_a_version(app: InProcess) -> None:
    there, schemas = await connection(app), app.services.schemas
    first = (await schemas.save(there, CONTACT)).schema
    assert (first.tenant_id, first.integration_id, first.version) == (TENANT, "salesforce", 1)
    entity = there.entity("Contact").model_copy(update={"schema_id": first.id})
    assert (await schemas.schema_for(there, entity)).label_field is None

    second = (await schemas.save(there, CONTACT | {"labelField": "lastName"})).schema
    assert (second.version, second.created_at) == (2, first.created_at)
    assert (await schemas.schema_for(there, entity)).label_field == "lastName"
    assert await app.services.stores.schemas.get(TENANT, first.id) == second
    with pytest.raises(Conflict):
        await app.services.stores.schemas.replace(first)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mappings": [{"kind": "direct", "field": "mail", "source": "Emial"}]},
         "mappings[0] (mail): the entity has no field 'Emial'; did you mean 'Email'?"),
        ({"entity": "Contakt"}, "entity: the account has no entity 'Contakt'; did you mean 'Contact'?"),
        ({"mappings": [{"kind": "transform", "field": "mail", "source": "Email", "transforms": ["emale"]}]},
         "emale"),
        ({"mappings": [{"kind": "direct", "field": "mail"}]}, "mappings.0.direct.source: Field required"),
        ({"matchRules": default_rules("contact").to_json() | {"mergePolicy": "keep_best"}}, "matchRules: mergePolicy"),
        ({"matchRules": {"shardType": "contact", "fields": [{"fields": ["a"], "strategy": "custom", "similarity": "ours"}],
                         "blocking": [{"name": "a", "parts": [{"fields": ["a"], "functions": ["text"]}]}]}},
         "unknown match function 'ours'"),
        ({"integrationId": "slack"}, "integrationId: it is not the connection's; leave it out"),
    ],
    ids=["field", "entity", "transform", "form", "match rules", "match function", "integration"],
)  # fmt: skip
async def test_a_schema_that_does_not_fit_is_refused_with_what_would_mend_it(
    app: InProcess, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await app.services.schemas.save(await connection(app), CONTACT | {"id": "refused"} | change)
    assert said in str(refused.value)
    with pytest.raises(NotFound):
        await app.services.stores.schemas.get(TENANT, "refused")


async def test_what_is_worth_a_look_is_said_and_saved(app: InProcess) -> None:
    only_mail = CONTACT | {"id": "only-mail", "mappings": CONTACT["mappings"][1:]}
    saved = await app.services.schemas.save(await connection(app), only_mail)
    [warning] = saved.warnings
    assert "'LastName' is required" in str(warning)
