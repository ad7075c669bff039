"""The models of a management SDK as the types of :mod:`infra.bicep.schema`."""

from __future__ import annotations

import importlib
import re
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

_REDIS = "azure.mgmt.redisenterprise.models"
_DNS = "azure.mgmt.privatedns.models"
_MONITOR = "azure.mgmt.monitor.models"

SDK_TYPES: dict[str, tuple[str, ...]] = {
    "Microsoft.Cache/redisEnterprise@2025-07-01": (_REDIS, "Cluster", "ClusterCreateProperties"),
    "Microsoft.Cache/redisEnterprise/databases@2025-07-01": (_REDIS, "Database", "DatabaseCreateProperties"),
    "Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments@2025-07-01": (
        _REDIS,
        "AccessPolicyAssignment",
    ),
    "Microsoft.Network/privateDnsZones@2024-06-01": (_DNS, "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01": (_DNS, "VirtualNetworkLink"),
    "Microsoft.Insights/actionGroups@2023-01-01": (_MONITOR, "ActionGroupResource"),
    "Microsoft.Insights/metricAlerts@2018-03-01": (_MONITOR, "MetricAlertResource"),
    "Microsoft.Insights/scheduledQueryRules@2023-12-01": (_MONITOR, "ScheduledQueryRuleResource"),
}
"""What azmcp lacks: the module and the model of each, and the model that its ``properties`` are created with. The
version is the one that the package speaks for the type."""

_PRIMITIVES = {
    "str": "string",
    "int": "int",
    "bool": "bool",
    "float": "int",
    "duration": "string",
    "iso-8601": "string",
}


def sdk_types(name: str, folder: Path) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The resource's entry, its group, and the named types that it reaches."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    module_name, model, *properties = SDK_TYPES[name]
    module = importlib.import_module(module_name)
    types: dict[str, Any] = {}
    body = _model(getattr(module, model), module, types)
    for each in properties:
        body["props"]["properties"] = {"type": _model(getattr(module, each), module, types)}
    # An SDK takes the name as an argument; in Bicep it is part of the body.
    body["props"]["name"] = {"type": "string", "flags": ["Required"]}
    provider, _, version = name.partition("@")
    group = f"{provider}@{version}"
    package = ".".join(module_name.split(".")[:3])
    return {"body": body, "group": group, "source": f"{package} (PyPI, MIT), model {model}"}, group, types


def _model(model: Any, module: ModuleType, types: dict[str, Any]) -> dict[str, Any]:
    """A model's properties; a key like ``properties.severity`` lies one object deeper."""
    body: dict[str, Any] = {"props": {}}
    validation = model._validation
    for attribute, how in model._attribute_map.items():
        if how["key"] == "":
            body["extra"] = _type(how["type"].strip("{}"), "", module, types)
            continue
        *outer, key = [part.replace("\0", ".") for part in how["key"].replace("\\.", "\0").split(".")]
        at = body["props"]
        for part in outer:
            at = at.setdefault(part, {"type": {"props": {}}})["type"]["props"]
        at[key] = _property(
            how["type"], _documented(model, attribute), validation.get(attribute, {}), module, types
        )
    cases = vars(model).get("_subtype_map", {})  # not an inherited one
    for attribute, values in cases.items():
        key = model._attribute_map[attribute]["key"].replace("\\.", ".")
        body["by"] = key
        body["cases"] = {
            value: _model(getattr(module, name), module, types) for value, name in values.items()
        }
        for value, case in body["cases"].items():
            case["props"][key]["type"] = {"enum": [value]}
    return body


def _property(
    kind: str, documented: str, rules: dict[str, Any], module: ModuleType, types: dict[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {"type": _type(kind, documented, module, types)}
    flags = [flag for rule, flag in (("required", "Required"), ("readonly", "ReadOnly")) if rules.get(rule)]
    if flags:
        found["flags"] = flags
    for key, rule in (
        ("min", "minimum"),
        ("max", "maximum"),
        ("minLength", "min_length"),
        ("maxLength", "max_length"),
    ):
        if rule in rules:
            found[key] = rules[rule]
    return found


def _type(kind: str, documented: str, module: ModuleType, types: dict[str, Any]) -> Any:
    if kind.startswith("["):
        return {"array": _type(kind[1:-1], documented, module, types)}
    if kind.startswith("{"):
        return {"map": _type(kind[1:-1], documented, module, types)}
    enumeration = _enumeration(documented, module)
    if kind == "str" and enumeration is not None:
        return {"enum": [str(each.value) for each in enumeration]}
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind]
    if kind in ("object", "rfc-1123"):
        return "any"
    if kind not in types:
        types[kind] = {}
        types[kind].update(_model(getattr(module, kind), module, types))
    return {"ref": kind}


def _documented(model: Any, attribute: str) -> str:
    """The type that the docstring names: that a string is one of an enumeration is said only there."""
    for each in model.__mro__:
        found = re.search(rf":vartype {attribute}:([^:]*)", each.__doc__ or "")
        if found:
            return found[1]
    return ""


def _enumeration(documented: str, module: ModuleType) -> type[Enum] | None:
    name = re.search(r"\.models\.(\w+)", documented)
    found = getattr(module, name[1], None) if name else None
    return found if isinstance(found, type) and issubclass(found, Enum) else None
