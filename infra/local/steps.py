"""What ``run`` and ``demo`` make happen, step by step; every figure is read back from the stores."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from castiel.domain.credentials import TokenSecret
from castiel.domain.results import PushResult, SyncResult, SyncStatus
from castiel.domain.tasks import SyncTask, TaskStatus
from infra.local.sample import OTHERS, SALESFORCE, TENANT, SampleProvider, plant, webhook_secret
from infra.local.session import Session, StepFailedError, until


async def schedule(session: Session, sample: SampleProvider = SALESFORCE) -> SyncTask:
    """Run the scheduler; returns the task once a new execution of it is queued."""
    before = await session.services.stores.tasks.get(sample.tenant, sample.task_id)
    await session.run_timer("SyncScheduler")

    async def queued() -> SyncTask | None:
        task = await session.services.stores.tasks.get(sample.tenant, sample.task_id)
        return task if task.execution_id not in (None, before.execution_id) else None

    return await until(queued, "the scheduler queues the due task")


async def pull_result(session: Session, execution_id: str, tenant: str = TENANT) -> SyncResult:
    """Wait for an execution's result."""

    async def find() -> SyncResult | None:
        since = datetime.now(UTC) - timedelta(hours=1)
        async for result in session.services.stores.results.of_tenant(tenant, since):
            if isinstance(result, SyncResult) and result.correlation_id == execution_id:
                return result
        return None

    return await until(find, "the inbound worker stores a sync result", within=120)


async def finished_task(session: Session, sample: SampleProvider = SALESFORCE) -> SyncTask:
    """Wait for the task's end."""

    async def ended() -> SyncTask | None:
        task = await session.services.stores.tasks.get(sample.tenant, sample.task_id)
        return task if task.status in (TaskStatus.COMPLETED, TaskStatus.FAILED) else None

    return await until(ended, "the task is completed")


async def pull_others(session: Session) -> dict[str, SyncResult]:
    """A tenant with the other four providers: their tasks are queued together, each connection is pulled."""
    known = {provider.integration_id for provider in session.services.providers}
    others = [sample for sample in OTHERS if sample.integration_id in known]
    for sample in others:
        async with session.control(sample.integration_id) as control:
            await plant(session.services, control, sample)
    await session.run_timer("SyncScheduler")
    results: dict[str, SyncResult] = {}
    for sample in others:
        task = await finished_task(session, sample)
        result = await pull_result(session, task.execution_id or "", sample.tenant)
        if result.status is not SyncStatus.SUCCESS:
            problem = result.error_message or "; ".join(
                f"{e.external_id}: {e.message}" for e in result.errors[:3]
            )
            raise StepFailedError(f"{sample.integration_id}: {result.status.value}: {problem}")
        results[sample.integration_id] = result
    return results


async def signed_webhook(session: Session, sample: SampleProvider = SALESFORCE) -> dict[str, Any]:
    """Edit a record at the provider, let the provider tell us, and wait until the shard has the change."""
    stores = session.services.stores
    async with session.control(sample.integration_id) as control:
        record = (await control.records("Contact", limit=1))[0]
        title = "Head of Operations"
        await control.edit("Contact", record["Id"], Title=title)
        sent = await control.send_event(
            f"{session.url}/webhooks/{sample.registration_id}/events",
            entity="Contact",
            id=record["Id"],
            operation="update",
            secret=await webhook_secret(session.services, sample),
        )
    if sent["status"] != 200:
        raise StepFailedError(f"the webhook was answered {sent['status']}: {sent['body']}")
    key = f"{sample.connection_id}|Contact|{record['Id']}"

    async def changed() -> dict[str, Any] | None:
        found = await stores.shards.by_references(TENANT, "contact", [key])
        return found[0].fields if found and found[0].fields.get("title") == title else None

    await until(changed, "the webhook's change reaches the shard")
    body = sent["body"] if isinstance(sent["body"], dict) else json.loads(sent["body"])
    return {"status": sent["status"], **body}


async def push_results(session: Session, shard_id: str, count: int) -> list[PushResult]:
    """Wait for so many push results of a shard, oldest first."""

    async def find() -> list[PushResult] | None:
        since = datetime.now(UTC) - timedelta(hours=1)
        found = [
            result
            async for result in session.services.stores.results.of_tenant(TENANT, since)
            if isinstance(result, PushResult) and result.entity_id == shard_id
        ]
        return sorted(found, key=lambda r: r.id) if len(found) >= count else None

    return await until(find, f"push result {count} of {shard_id}")


async def outbound(session: Session, sample: SampleProvider = SALESFORCE) -> list[PushResult]:
    """Create, change and delete a contact here; each must arrive at the provider."""
    changes = session.services.local_changes
    fields = {"firstName": "Ada", "lastName": "Example", "email": "ada.example@example.com"}
    async with session.control(sample.integration_id) as control:
        shard = await changes.create(TENANT, "contact", fields, correlation_id="demo-create")
        [created] = await push_results(session, shard.id, 1)
        if not created.success or created.external_id is None:
            raise StepFailedError(f"create: {created.error_code} {created.error_message}")
        await _expect(control, created.external_id, "LastName", "Example")
        await changes.update(TENANT, shard.id, {"lastName": "Sample"}, correlation_id="demo-update")
        await push_results(session, shard.id, 2)
        await _expect(control, created.external_id, "LastName", "Sample")
        await changes.delete(TENANT, shard.id, correlation_id="demo-delete")
        results = await push_results(session, shard.id, 3)
        await _expect(control, created.external_id, "IsDeleted", True)
    failed = [r for r in results if not r.success]
    if failed:
        raise StepFailedError(
            f"{failed[0].operation.value}: {failed[0].error_code} {failed[0].error_message}"
        )
    return results


async def _expect(control: Any, record_id: str, field: str, value: Any) -> None:
    record = await control.record("Contact", record_id)
    if record.get(field) != value:
        raise StepFailedError(f"the provider has {field}={record.get(field)!r}, expected {value!r}")


async def token_refresh(session: Session, sample: SampleProvider = SALESFORCE) -> dict[str, Any]:
    """Let the token be about to expire, run the refresher, return its audit record."""
    stores = session.services.stores
    credential = await stores.credentials.get(sample.tenant, sample.credential_id)
    soon = datetime.now(UTC) + timedelta(minutes=30)
    token = TokenSecret.model_validate_json((await session.services.vault.get(credential.secret_name)).value)
    token.expiry_time = soon
    secret = await session.services.vault.set(credential.secret_name, token.to_json_text())
    credential.expiry_time, credential.secret_version = soon, secret.version
    credential = await stores.credentials.replace(credential)
    seen = {audit.id async for audit in stores.refresh_audit.recent(100)}
    await session.run_timer("TokenRefresher")

    async def audited() -> dict[str, Any] | None:
        async for audit in stores.refresh_audit.recent(5):
            if audit.id not in seen:
                return audit.to_json()
        return None

    audit = await until(audited, "the refresher stores its audit record")
    refreshed = await stores.credentials.get(sample.tenant, sample.credential_id)
    if refreshed.refresh_count != credential.refresh_count + 1:
        raise StepFailedError("the credential's refresh was not counted")
    return audit
