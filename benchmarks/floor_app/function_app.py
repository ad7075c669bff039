"""The least a webhook's handler can do: read the body, and compute an HMAC over it."""

import hashlib
import hmac

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
KEY = b"made-up-key"


@app.function_name("Floor")
@app.route(route="webhooks/{registrationId}/{*path}", methods=["POST"])
async def floor(req: func.HttpRequest) -> func.HttpResponse:
    digest = hmac.digest(KEY, req.get_body(), hashlib.sha256).hex()
    return func.HttpResponse(f'{{"digest": "{digest}"}}', mimetype="application/json")
