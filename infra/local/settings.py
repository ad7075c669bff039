"""The app's settings for the servers of the local stack, and the file in which ``func`` expects them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

DATABASE = "castiel"
_DEFAULT_COSMOS_KEY = base64.b64encode(b"the key of the local Cosmos DB emulator").decode()


def app_settings(servers: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """The settings by the names of their environment variables, from each server's address and ready line."""
    settings = {"CASTIEL_ENVIRONMENT": "local"}
    for name, (address, ready) in servers.items():
        settings.update(_SETTINGS[name](address, ready))
    return settings


def write_settings_file(file: Path, settings: Mapping[str, str]) -> None:
    """Write ``local.settings.json``; what else somebody put into its Values stays.

    The form: https://learn.microsoft.com/azure/azure-functions/functions-develop-local#local-settings-file
    """
    content: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    host = {"AzureWebJobsStorage": "UseDevelopmentStorage=true", "FUNCTIONS_WORKER_RUNTIME": "python"}
    content = {**content, "IsEncrypted": False, "Values": {**content.get("Values", {}), **host, **settings}}
    unfinished = file.with_suffix(".json.new")
    unfinished.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    unfinished.replace(file)


def _servicebus_settings(address: str, _ready: Mapping[str, Any]) -> dict[str, str]:
    access = "SharedAccessKeyName=local;SharedAccessKey=local;UseDevelopmentEmulator=true"
    return {
        "SERVICE_BUS_CONNECTION_STRING": f"Endpoint=sb://{address};{access}",
        "SERVICE_BUS_QUEUE": "sync-inbound",
        "SERVICE_BUS_QUEUE_OUTBOUND": "sync-outbound",
    }


def _cosmos_settings(address: str, ready: Mapping[str, Any]) -> dict[str, str]:
    return {
        "COSMOS_ENDPOINT": f"http://{address}/",
        "COSMOS_KEY": ready.get("key", _DEFAULT_COSMOS_KEY),
        "COSMOS_DATABASE": DATABASE,
    }


def _keyvault_settings(address: str, ready: Mapping[str, Any]) -> dict[str, str]:
    return {
        "KEY_VAULT_URL": f"https://{address}/",
        "KEY_VAULT_CA_FILE": ready.get("certificate", ""),
        "KEY_VAULT_STATIC_TOKEN": ready.get("token", ""),
    }


def _eventgrid_settings(address: str, ready: Mapping[str, Any]) -> dict[str, str]:
    return {
        "EVENT_GRID_TOPIC_ENDPOINT": f"http://{address}/api/events",
        "EVENT_GRID_TOPIC_KEY": ready.get("key", ""),
    }


def _redis_settings(address: str, ready: Mapping[str, Any]) -> dict[str, str]:
    return {"REDIS_URL": ready.get("url", f"redis://{address}/0")}


def _sandbox_settings(address: str, ready: Mapping[str, Any]) -> dict[str, str]:
    return {"CASTIEL_SANDBOX_URL": ready.get("url", f"http://{address}")}


_SETTINGS: Mapping[str, Callable[[str, Mapping[str, Any]], dict[str, str]]] = {
    "servicebus": _servicebus_settings,
    "cosmos": _cosmos_settings,
    "keyvault": _keyvault_settings,
    "eventgrid": _eventgrid_settings,
    "redis": _redis_settings,
    "sandbox": _sandbox_settings,
}
