"""``castiel tasks``: list, show, run now, enable, disable."""

from __future__ import annotations

from typing import Annotated

import typer

from castiel.cli.running import Run, Tenant, command, group
from castiel.domain.tasks import SyncTask, TaskStatus
from castiel.errors import CastielError, Conflict

app = group("Sync tasks: what is synced, when, and how far it has come.")
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


async def _task(run: Run, tenant: str, task_id: str) -> SyncTask:
    return await run.named(f"task {task_id}", run.services.stores.tasks.get(tenant, task_id))
