"""Finds the functions of a function_app.py through azure-functions' own API, and refuses what the platform refuses."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func
from azure.functions.meta import get_binding_registry

from infra.local.host.errors import IndexingError

TRIGGERS = frozenset({"httpTrigger", "timerTrigger", "serviceBusTrigger"})
_RETURN = "$return"


@dataclass(frozen=True)
class IndexedFunction:
    """One function: the user's callable and its trigger as function.json would describe it."""

    name: str
    call: Callable[..., Any]
    trigger: dict[str, Any]
    directory: Path
    is_async: bool
    takes_context: bool
    has_return: bool

    @property
    def trigger_type(self) -> str:
        return str(self.trigger["type"])

    @property
    def parameter(self) -> str:
        """The name of the parameter the trigger's data goes to."""
        return str(self.trigger["name"])


def load_app(directory: Path, script: str = "function_app.py") -> list[IndexedFunction]:
    """Import the app's script and index its functions, in the order they are declared.

    Raises:
        IndexingError: no app object or more than one, or a function the platform would not load.
    """
    path = directory / script
    if not path.exists():
        raise IndexingError(f"there is no {script} in {directory}")
    sys.path.insert(0, str(directory))
    module = _import_script(path)
    return [index_function(function, directory) for function in _app_of(module, script).get_functions()]


def _import_script(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    if specification is None or specification.loader is None:
        raise IndexingError(f"cannot import {path}")
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


def _app_of(module: Any, script: str) -> func.FunctionRegister:
    apps = {id(value): value for value in vars(module).values() if isinstance(value, func.FunctionRegister)}
    if len(apps) != 1:
        raise IndexingError(f"{script} must define exactly one top level FunctionApp, found {len(apps)}")
    return next(iter(apps.values()))


def index_function(function: Any, directory: Path) -> IndexedFunction:
    """Check one function built by azure-functions against its Python signature.

    Raises:
        IndexingError: unsupported binding, or parameters that do not match the bindings.
    """
    name, call = function.get_function_name(), function.get_user_function()
    bindings = [json.loads(raw) for raw in function.get_raw_bindings()]
    trigger = _only_trigger(name, bindings)
    parameters = set(inspect.signature(call).parameters)
    _check_parameters(name, call, trigger, parameters - {"context"})
    return IndexedFunction(
        name=name,
        call=call,
        trigger=trigger,
        directory=directory,
        is_async=inspect.iscoroutinefunction(call),
        takes_context="context" in parameters,
        has_return=any(binding["name"] == _RETURN for binding in bindings),
    )


def _only_trigger(name: str, bindings: list[dict[str, Any]]) -> dict[str, Any]:
    unsupported = [
        binding["type"]
        for binding in bindings
        if binding["type"] not in TRIGGERS and (binding["type"], binding["name"]) != ("http", _RETURN)
    ]
    if unsupported:
        raise IndexingError(f"{name}: this host does not serve the bindings {', '.join(unsupported)}")
    triggers = [binding for binding in bindings if binding["type"] in TRIGGERS]
    if len(triggers) != 1:
        raise IndexingError(f"{name} must have exactly one trigger, it has {len(triggers)}")
    if triggers[0]["type"] == "serviceBusTrigger" and "queueName" not in triggers[0]:
        raise IndexingError(f"{name}: this host serves Service Bus queues, not topics")
    return triggers[0]


def _check_parameters(
    name: str, call: Callable[..., Any], trigger: dict[str, Any], parameters: set[str]
) -> None:
    if parameters != {trigger["name"]}:
        raise IndexingError(
            f"{name}: its parameters {sorted(parameters)} must be exactly what is bound: ['{trigger['name']}']"
        )
    annotation = typing.get_type_hints(call).get(trigger["name"])
    if annotation is None:
        return
    converter = get_binding_registry().get(trigger["type"])
    if not converter.check_input_type_annotation(annotation):
        raise IndexingError(f"{name}: {annotation} is not a type that {trigger['type']} can be bound to")
