"""Types that neither azmcp nor a current SDK has, copied by hand from the reference."""

from __future__ import annotations

from typing import Any

_CATEGORY: dict[str, Any] = {
    "enabled": {"type": "bool", "flags": ["Required"]},
    "retentionPolicy": {
        "type": {
            "props": {
                "days": {"type": "int", "flags": ["Required"], "min": 0},
                "enabled": {"type": "bool", "flags": ["Required"]},
            }
        }
    },
}
_LOG = {"category": {"type": "string"}, "categoryGroup": {"type": "string"}, **_CATEGORY}
_METRIC = {"category": {"type": "string"}, "timeGrain": {"type": "string"}, **_CATEGORY}
_SETTINGS: dict[str, Any] = {
    name: {"type": "string"}
    for name in (
        "eventHubAuthorizationRuleId",
        "eventHubName",
        "logAnalyticsDestinationType",
        "marketplacePartnerId",
        "serviceBusRuleId",
        "storageAccountId",
        "workspaceId",
    )
}

WRITTEN: dict[str, dict[str, Any]] = {
    "Microsoft.Insights/diagnosticSettings@2021-05-01-preview": {
        "group": "Microsoft.Insights/diagnosticSettings@2021-05-01-preview",
        "source": "https://learn.microsoft.com/azure/templates/microsoft.insights/2021-05-01-preview/diagnosticsettings",
        "body": {
            "props": {
                "name": {"type": "string", "flags": ["Required"]},
                "properties": {
                    "type": {
                        "props": {
                            **_SETTINGS,
                            "logs": {"type": {"array": {"props": _LOG}}},
                            "metrics": {"type": {"array": {"props": _METRIC}}},
                        }
                    },
                    "flags": ["Required"],
                },
            }
        },
    }
}
