"""``castiel tasks``: create, list, show, run now, enable, disable."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from castiel.cli.exits import UsageProblem
from castiel.cli.running import Run, Tenant, command, group
from castiel.cli.values import duration
from castiel.domain.schedules import next_run
from castiel.domain.tasks import Priority, Schedule, SyncMode, SyncTask, TaskStatus, TaskType
from castiel.errors import CastielError, Conflict

app = group("What is synced, when, and how far it has come.")
TaskId = Annotated[str, typer.Argument(help="The task's id.", show_default=False)]
COLUMNS = (
    "id",
    "integrationId",
    "connectionId",
    "syncMode",
    "status",
    "enabled",
    "nextScheduled",
    "lastFailure",
)
ATTEMPTS = 5


@command(app, "list")
async def list_tasks(
    run: Run,
    tenant: Tenant,
    status: Annotated[TaskStatus | None, typer.Option("--status", help="Only these.")] = None,
) -> None:
    """All tasks of a tenant."""
    found = [task async for task in run.services.stores.tasks.of_tenant(tenant)]
    found.sort(key=lambda task: task.id)
    rows = [task.to_json() for task in found if status in (None, task.status)]
    for row in rows:
        row.setdefault("enabled", True)
        if not run.output.as_json and "lastFailure" in row:
            row["lastFailure"] = row["lastFailure"]["code"]
    run.output.rows(rows, COLUMNS, empty="No tasks.")


@command(app, "create")
async def create(
    run: Run,
    tenant: Tenant,
    connection_id: Annotated[
        str, typer.Option("--connection", help="The connection to sync.", show_default=False)
    ],
    task_id: Annotated[
        str | None,
        typer.Option("--id", help="The task's id; else made of the connection's.", show_default=False),
    ] = None,
    mode: Annotated[SyncMode, typer.Option("--mode", help="Which way it syncs.")] = SyncMode.PULL,
    every: Annotated[
        str | None, typer.Option("--every", help="Run again so often: 15m, 1h, 1d.", show_default=False)
    ] = None,
    cron: Annotated[
        str | None,
        typer.Option("--cron", help="Run at these times: five fields, UTC.", show_default=False),
    ] = None,
    entity: Annotated[
        list[str] | None,
        typer.Option("--entity", help="Only this entity (repeatable); else all.", show_default=False),
    ] = None,
    priority: Annotated[Priority, typer.Option("--priority", help="Among what is due.")] = Priority.NORMAL,
) -> None:
    """Create a task. The scheduler queues it at its next run, and then by its schedule; without one, once."""
    connection = await run.named(
        f"connection {connection_id}", run.services.stores.connections.get(tenant, connection_id)
    )
    for name in entity or ():
        if connection.entity(name) is None:
            raise UsageProblem(f"--entity: connection {connection_id} does not carry {name}")
    schedule = _schedule(every, cron)
    task = SyncTask(
        id=task_id or f"sync-{connection_id}-{mode.value}",
        tenant_id=tenant,
        integration_id=connection.integration_id,
        connection_id=connection_id,
        sync_mode=mode,
        priority=priority,
        type=TaskType.SCHEDULED if schedule else TaskType.MANUAL,
        schedule=schedule,
        entities=list(entity or ()),
    )
    created = await run.named(f"task {task.id}", run.services.stores.tasks.create(task))
    run.output.done(
        f"Created task {created.id}; the scheduler queues it at its next run.", **created.to_json()
    )


@command(app, "show")
async def show(run: Run, task_id: TaskId, tenant: Tenant) -> None:
    """One task, with its checkpoints and its last failure."""
    run.output.one(await _task(run, tenant, task_id))


@command(app, "run")
async def run_now(run: Run, task_id: TaskId, tenant: Tenant) -> None:
    """Queue a task now, whatever its schedule says; the functions do the work."""
    task = await _task(run, tenant, task_id)
    if not task.enabled:
        raise CastielError(f"task {task_id} is disabled: enable it first")
    execution = await run.services.scheduler.run_now(task)
    if execution is None:
        raise CastielError(f"task {task_id} is queued or running already")
    run.output.done(f"Queued {task_id} as {execution}.", id=task_id, executionId=execution)


@command(app, "enable")
async def enable(run: Run, task_id: TaskId, tenant: Tenant) -> None:
    """Let the scheduler queue it when it is due."""
    await _set_enabled(run, tenant, task_id, True)


@command(app, "disable")
async def disable(run: Run, task_id: TaskId, tenant: Tenant) -> None:
    """Keep the scheduler from queueing it; an execution under way comes to its end."""
    await _set_enabled(run, tenant, task_id, False)


async def _set_enabled(run: Run, tenant: str, task_id: str, enabled: bool) -> None:
    for _ in range(ATTEMPTS):
        task = await _task(run, tenant, task_id)
        task.enabled = enabled
        try:
            await run.services.stores.tasks.replace(task)
        except Conflict:
            continue
        word = "enabled" if enabled else "disabled"
        run.output.done(f"Task {task_id} is {word}.", id=task_id, enabled=enabled)
        return
    raise Conflict(f"task {task_id} keeps changing: try again")


def _schedule(every: str | None, cron: str | None) -> Schedule | None:
    if every is None and cron is None:
        return None
    seconds = int(duration(every).total_seconds()) if every is not None else None
    if seconds is not None and seconds < 60:
        raise UsageProblem("--every: at least 60s")
    schedule = Schedule(cron=cron, interval_seconds=seconds)
    next_run(schedule, datetime.now(UTC))
    return schedule


async def _task(run: Run, tenant: str, task_id: str) -> SyncTask:
    return await run.named(f"task {task_id}", run.services.stores.tasks.get(tenant, task_id))
