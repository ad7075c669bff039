"""Castiel's five functions: each binds its input and awaits one handler."""

from typing import List  # noqa: UP035  (the worker refuses list[…] here)

import azure.functions as func

from castiel.azure.triggers import http_response, received, webhook_request
from castiel.bootstrap import Application

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
castiel = Application()


@app.function_name("SyncScheduler")
@app.timer_trigger(arg_name="timer", schedule="0 0 * * * *", run_on_startup=False, use_monitor=True)
async def sync_scheduler(timer: func.TimerRequest) -> None:
    await (await castiel.services()).scheduler.run()


@app.function_name("SyncInboundWorker")
@app.service_bus_queue_trigger(
    arg_name="message", queue_name="%SERVICE_BUS_QUEUE%", connection="SERVICE_BUS_CONNECTION_STRING"
)
async def sync_inbound_worker(message: func.ServiceBusMessage) -> None:
    await (await castiel.services()).inbound_messages.handle(received(message, "SyncInboundWorker"))


@app.function_name("SyncOutboundWorker")
@app.service_bus_queue_trigger(
    arg_name="messages",
    queue_name="%SERVICE_BUS_QUEUE_OUTBOUND%",
    connection="SERVICE_BUS_CONNECTION_STRING",
    cardinality=func.Cardinality.MANY,
)
async def sync_outbound_worker(messages: List[func.ServiceBusMessage]) -> None:  # noqa: UP006
    changes = [received(message, "SyncOutboundWorker") for message in messages]
    await (await castiel.services()).outbound_worker.handle(changes)


@app.function_name("TokenRefresher")
@app.timer_trigger(arg_name="timer", schedule="0 0 */6 * * *", run_on_startup=False, use_monitor=True)
async def token_refresher(timer: func.TimerRequest) -> None:
    await (await castiel.services()).token_refresher.run()


# The platform's admission to a webhook is its signature: the receiver verifies it before anything else.
@app.function_name("WebhookReceiver")
@app.route(route="webhooks/{registrationId}/{*path}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def webhook_receiver(req: func.HttpRequest) -> func.HttpResponse:
    return http_response(await (await castiel.services()).webhook_receiver.handle(webhook_request(req)))
