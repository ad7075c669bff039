"""The configuration reference, made from ``castiel/settings.py``, and whether the settings agree in all their places.

``python -m infra.configuration`` writes ``docs/configuration.md`` anew.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from castiel.settings import CLOUD_ONLY, LOCAL_ONLY, Settings

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "configuration.md"
LOCAL_EXAMPLE = ROOT / "local.settings.json.example"

PLATFORM: Mapping[str, str] = {
    "AzureWebJobsStorage": "Local: the host's storage, Azurite.",
    "FUNCTIONS_WORKER_RUNTIME": "Local: `python`. Refused on Flex Consumption, where the app's runtime says it.",
    "AzureWebJobsStorage__accountName": "The host's storage account: leases, timers, keys.",
    "AzureWebJobsStorage__credential": "`managedidentity`",
    "AzureWebJobsStorage__clientId": "Client id of the app's identity.",
    "AzureFunctionsWebHost__hostid": "Keeps the apps' leases and timers apart.",
    "SERVICE_BUS_CONNECTION_STRING__credential": "`managedidentity`, for the triggers.",
    "SERVICE_BUS_CONNECTION_STRING__clientId": "Client id of the app's identity, for the triggers.",
    "APPLICATIONINSIGHTS_CONNECTION_STRING": "Where logs, traces and metrics go.",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "`ClientId=…;Authorization=AAD`: by identity, not by key.",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "`true`: the worker exports what OpenTelemetry records.",
    "PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME": "`castiel`: only these log lines are exported.",
    "AzureFunctionsJobHost__functionTimeout": "The webhook app: under the 230 seconds of a request.",
    "AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentCalls": "The worker apps: messages, or batches, at once.",
    "AzureFunctionsJobHost__extensions__serviceBus__maxMessageBatchSize": "The outbound app: messages of one batch.",
}
"""What the Functions host and its worker read, and Castiel does not."""
DISABLED = "AzureWebJobs."
"""``AzureWebJobs.<function>.Disabled``: which functions an app runs."""
DIFFERS: Mapping[str, str] = {
    "REDIS_USE_ENTRA": "in the cloud always by identity",
    "CASTIEL_ENVIRONMENT": "local runs say `local`",
    "RATE_LIMITER_EXPECTED_INSTANCES": "follows from the apps' maximum instances (infra/azure/main.bicep)",
}
"""Settings that are given otherwise than their default, and why."""


@dataclass(frozen=True)
class Setting:
    """One environment variable of Castiel."""

    name: str
    kind: str
    default: Any
    required: bool
    secret: bool
    where: Literal["everywhere", "cloud", "local"]
    text: str

    @property
    def given_default(self) -> str | None:
        """The default as an environment variable would say it; ``None`` where there is none."""
        if self.required or self.default is None:
            return None
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


def all_settings() -> list[Setting]:
    """Castiel's settings, in the order of ``castiel/settings.py``."""
    found = []
    for name, field in Settings.model_fields.items():
        variable = str(field.validation_alias or name.upper())
        where: Literal["everywhere", "cloud", "local"] = (
            "local" if variable in LOCAL_ONLY else "cloud" if variable in CLOUD_ONLY else "everywhere"
        )
        found.append(
            Setting(
                variable,
                _kind(field),
                field.default,
                field.is_required(),
                SecretStr in (field.annotation, *get_args(field.annotation)),
                where,
                field.description or "",
            )
        )
    return found


def _kind(field: FieldInfo) -> str:
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(each for each in get_args(annotation) if each is not type(None))
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    name = {int: "integer", float: "number", bool: "true or false"}.get(annotation or str, "text")
    limits = ",".join(filter(None, map(_limit, field.metadata)))
    return name + (f",{limits}" if limits else "")


def _limit(limit: Any) -> str:
    match limit:
        case annotated_types.Ge(ge=value):
            return f" ≥ {value}"
        case annotated_types.Gt(gt=value):
            return f" > {value}"
        case annotated_types.Le(le=value):
            return f" ≤ {value}"
    return ""


def document() -> str:
    """The text of ``docs/configuration.md``."""
    lines = [
        "# Configuration",
        "",
        "Made by `make docs` from `castiel/settings.py`; change it there.",
        "",
        "Every setting is an environment variable: an app setting in Azure (`infra/azure/modules/function-app.bicep`), a",
        "value in `local.settings.json` on this machine (`make stack` writes it; `local.settings.json.example` shows it).",
        "Castiel checks them when it starts and names each one that is missing or malformed. Secrets are masked wherever",
        "settings are shown.",
        "",
        "| setting | kind | default | where | |",
        "|---|---|---|---|---|",
        *(_row(each) for each in all_settings()),
        "",
        "## What the Functions host reads",
        "",
        "Set by the infrastructure; nothing to choose.",
        "",
        "| setting | |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in PLATFORM.items()),
        "| `AzureWebJobs.<function>.Disabled` | `true` for the functions that run in another app. |",
        "",
    ]
    return "\n".join(lines)


def _row(each: Setting) -> str:
    default = "**required**" if each.required else "–" if each.default is None else f"`{each.given_default}`"
    note = " Secret." if each.secret else ""
    return f"| `{each.name}` | {each.kind} | {default} | {each.where} | {each.text}{note} |"


def local_example() -> dict[str, str]:
    """The values of ``local.settings.json.example``."""
    return dict(json.loads(LOCAL_EXAMPLE.read_text("utf-8"))["Values"])


def differences(bicep: Mapping[str, str], local: Mapping[str, str], text: str) -> Iterator[str]:
    """Where one app's settings in Bicep, the local example and the document are not what ``settings.py`` says."""
    known = {each.name: each for each in all_settings()}
    for place, given, elsewhere in (("Bicep", bicep, "local"), (LOCAL_EXAMPLE.name, local, "cloud")):
        for each in known.values():
            if each.where == elsewhere:
                if each.name in given:
                    yield f"{place}: {each.name} has no place there"
            elif each.name not in given:
                yield f"{place}: {each.name} is missing"
            elif (
                each.given_default is not None
                and each.name not in DIFFERS
                and given[each.name] != each.given_default
            ):
                yield f"{place}: {each.name} is {given[each.name]}, its default {each.given_default}"
        for name in given:
            if name not in known and name not in PLATFORM and not name.startswith(DISABLED):
                yield f"{place}: {name} is no setting of castiel/settings.py or the platform"
    if text != document():
        missing = [name for name in known if f"`{name}`" not in text]
        yield f"{DOCUMENT.name}: out of date ({', '.join(missing) or 'see the difference'}); run make docs"


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(document(), "utf-8")
    print(f"wrote {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
