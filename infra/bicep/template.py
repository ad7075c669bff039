"""A Bicep file with its parameters: the resources and modules that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tree_sitter import Node

from infra.bicep.check import problems_of
from infra.bicep.evaluate import Expressions
from infra.bicep.parameters import checked
from infra.bicep.schema import resource_type
from infra.bicep.syntax import BicepError, Declaration, read
from infra.bicep.values import Module, Resource, Unknown

ABOUT = frozenset({"parent", "scope", "dependsOn"})
"""What Bicep itself reads in a resource's body."""
OF_A_MODULE = frozenset({"name", "scope", "params", "dependsOn"})
BUSY = object()


@dataclass
class Deployment:
    """What the files come to: every resource, every finding, and the outputs."""

    resources: list[Resource] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of_type(self, kind: str) -> list[Resource]:
        """The resources of a type (without its version) that the deployment makes."""
        return [each for each in self.resources if each.type.partition("@")[0] == kind and not each.existing]


def deploy(file: Path, parameters: Mapping[str, Any]) -> Deployment:
    """Evaluate a file and the modules below it. What is wrong is in ``problems``."""
    found = Deployment()
    try:
        found.outputs = _Template(file, parameters, found).run()
    except BicepError as error:
        found.problems.append(str(error))
    return found


def parameters_of(file: Path) -> dict[str, Any]:
    """The values of a ``.bicepparam`` file."""
    source = read(file)
    expressions = Expressions(file, lambda name: _undeclared(name))
    return {each.name: expressions.value(each.value) for each in source.of("var") if each.value is not None}


def _undeclared(name: str) -> Any:
    raise BicepError(f"{name} is not declared")


class _Template:
    """One file, evaluated from its names on demand: a declaration may stand after its use."""

    def __init__(self, file: Path, parameters: Mapping[str, Any], found: Deployment) -> None:
        self._file = file
        self._source = read(file)
        self._found = found
        self._declared = {each.name: each for each in self._source.declarations if each.kind != "output"}
        self._expressions = Expressions(file, self._look_up)
        self._values: dict[str, Any] = {}
        self._modules: list[Module] = []
        self._given = dict(parameters)
        for name in set(parameters) - {each.name for each in self._source.of("param")}:
            raise BicepError(f"{file.name} has no parameter {name}")

    def run(self) -> dict[str, Any]:
        """Everything, for its findings; returns the outputs."""
        for name in self._declared:
            self._look_up(name)
        return {
            each.name: self._expressions.value(each.value)
            for each in self._source.of("output")
            if each.value is not None
        }

    def _look_up(self, name: str) -> Any:
        if name not in self._declared:
            raise BicepError(f"{name} is not declared")
        found = self._values.get(name, self)
        if found is BUSY:
            raise BicepError(f"{name} depends on itself")
        if found is self:
            self._values[name] = BUSY
            found = self._values[name] = self._evaluated(self._declared[name])
        return found

    def _evaluated(self, declared: Declaration) -> Any:
        if declared.kind == "param":
            return self._parameter(declared)
        if declared.kind == "var" and declared.value is not None:
            return self._expressions.value(declared.value)
        instances = [
            self._instance(declared, body, names) for body, names in self._bodies(declared.value, {})
        ]
        is_loop = declared.value is not None and declared.value.type == "for_statement"
        # A resource that is not made, because of its condition, may still be named in a branch that is not taken.
        return instances if is_loop else instances[0] if instances else Unknown(declared.name)

    def _parameter(self, declared: Declaration) -> Any:
        if declared.name in self._given:
            return checked(self._file, declared, self._given[declared.name], self._expressions)
        if declared.value is None:
            raise BicepError(f"{self._file.name}: parameter {declared.name} is not given")
        return self._expressions.value(declared.value)

    def _bodies(self, node: Node | None, local: Mapping[str, Any]) -> Iterator[tuple[Node, dict[str, Any]]]:
        """The object of each instance: through ``for`` and ``if``."""
        if node is None:
            return
        if node.type == "for_statement":
            for body, names in self._expressions.each(node, local):
                yield from self._bodies(body, names)
        elif node.type == "if_statement":
            condition, body = [each for each in node.named_children if each.type != "comment"]
            if self._expressions.value(condition, local):
                yield from self._bodies(body, local)
        else:
            yield node, dict(local)

    def _instance(self, declared: Declaration, body: Node, names: Mapping[str, Any]) -> Any:
        values = self._expressions.value(body, names)
        if declared.kind == "module":
            return self._module(declared, values)
        return self._resource(declared, values)

    def _resource(self, declared: Declaration, values: dict[str, Any]) -> Resource:
        about = {name: values.pop(name, None) for name in ABOUT}
        schema = resource_type(declared.text)
        made = Resource(
            declared.name,
            declared.text,
            values,
            self._file.name,
            existing=declared.existing,
            parent=about["parent"],
            scope=about["scope"],
            type_schema=schema,
        )
        self._found.resources.append(made)
        at = f"{self._file.name}: {declared.name} {made.name}"
        if schema is None:
            self._found.problems.append(
                f"{at}: {declared.text} has no schema; see infra/azure/schemas/README.md"
            )
        elif not declared.existing:
            self._found.problems += problems_of(values, schema, at)
        return made

    def _module(self, declared: Declaration, values: dict[str, Any]) -> Module:
        at = f"{self._file.name}: module {declared.name}"
        unknown = set(values) - OF_A_MODULE
        if unknown:
            raise BicepError(f"{at}: no property {', '.join(sorted(unknown))}")
        file = self._file.parent / declared.text
        if not file.exists():
            raise BicepError(f"{at}: there is no file {declared.text}")
        before = len(self._found.resources)
        outputs = _Template(file, values.get("params", {}), self._found).run()
        return Module(declared.name, file.name, self._found.resources[before:], outputs)
