"""What an expression is worth before anything is deployed.

Plain Python values, except for what only Azure knows: a string is then written ``<name-of-the-account.properties.documentEndpoint>``,
and anything else is :class:`Unknown`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.bicep.schema import Type
from infra.bicep.syntax import BicepError


@dataclass(frozen=True)
class Unknown:
    """A value that Azure will give, by where it is read from."""

    origin: str
    type: Type | None = None


@dataclass(frozen=True)
class Lambda:
    """``name => body``."""

    call: Callable[[Any], Any]


@dataclass
class Resource:
    """A resource of the deployment, or one it refers to (``existing``)."""

    symbol: str
    type: str
    body: dict[str, Any]
    file: str
    existing: bool = False
    parent: Resource | None = None
    scope: Any = None
    type_schema: Type | None = None

    @property
    def name(self) -> str:
        """Its own name, without its parents'."""
        return str(self.body.get("name", ""))

    @property
    def id(self) -> str:
        """Its resource id, in a subscription and group that stand for the real ones."""
        kind = self.type.partition("@")[0]
        if kind == "Microsoft.Resources/resourceGroups":
            return f"/subscriptions/<subscription>/resourceGroups/{self.name}"
        if self.parent is not None:
            return f"{self.parent.id}/{kind.rpartition('/')[2]}/{self.name}"
        base = (
            self.scope.id
            if isinstance(self.scope, Resource)
            else "/subscriptions/<subscription>/resourceGroups/<group>"
        )
        return f"{base}/providers/{kind}/{self.name}"


@dataclass
class Module:
    """A module that was evaluated."""

    symbol: str
    file: str
    resources: list[Resource]
    outputs: dict[str, Any]
    modules: list[Module] = field(default_factory=list)


def is_known(value: Any) -> bool:
    """Whether all of it is known before the deployment."""
    return not isinstance(value, Unknown) and not (isinstance(value, str) and "<" in value)


def member(value: Any, name: str) -> Any:
    """``value.name``. Raises :class:`BicepError` when there is none."""
    if isinstance(value, dict):
        if name not in value:
            raise BicepError(f"no property {name}; there are {', '.join(map(str, value)) or 'none'}")
        return value[name]
    if isinstance(value, Resource):
        return _resource_member(value, name)
    if isinstance(value, Module):
        if name == "outputs":
            return value.outputs
        raise BicepError(f"module {value.symbol} has outputs, and no {name}")
    if isinstance(value, Unknown):
        return _unknown_member(value, name)
    raise BicepError(f"a {type(value).__name__} has no property {name}")


def _resource_member(resource: Resource, name: str) -> Any:
    if name in ("id", "name"):
        return getattr(resource, name)
    if name in ("location", "tags") and name in resource.body:
        return resource.body[name]
    if resource.type_schema is None:
        return Unknown(f"{resource.name}.{name}")
    return _unknown_member(Unknown(resource.name, resource.type_schema), name)


def _unknown_member(value: Unknown, name: str) -> Any:
    origin = f"{value.origin}.{name}"
    if value.type is None:
        return Unknown(origin)
    found = value.type.property(name)
    if found is None:
        raise BicepError(f"{value.origin} has no property {name}")
    kind = found[0].resolved()
    is_text = kind.body == "string" or (isinstance(kind.body, dict) and "enum" in kind.body)
    return f"<{origin}>" if is_text else Unknown(origin, kind)
