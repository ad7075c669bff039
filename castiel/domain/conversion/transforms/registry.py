"""The library of named transforms: what each is called, takes, undoes, and where its knowledge comes from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ConfigDict, ValidationError, validate_call

from castiel.domain.conversion.problems import UnconvertibleError, did_you_mean

Function = Callable[[Any], Any]
"""Converts one value, never ``None``. Raises ``UnconvertibleError`` with what is wrong, without the value in it."""

Factory = Callable[..., Function]
"""Takes a transform's options and gives its function. Raises ``UnconvertibleError`` for options that can't work."""

InverseFactory = Callable[..., Function | None]
"""Takes the same options and gives the function that goes back, or ``None`` where these options allow none."""

Built = TypeVar("Built", bound=Function | None)


class TransformError(ValueError):
    """No transform has this name, or it doesn't take these options."""


@dataclass(frozen=True, slots=True)
class Transform:
    """A named transform.

    ``inverse`` takes the same options and gives the function back; without it the transform only goes inbound.
    ``source`` is the library or standard its knowledge comes from; ``limits`` what it can't do.
    """

    name: str
    build: Factory
    inverse: InverseFactory | None
    does: str
    source: str
    limits: str

    @property
    def options(self) -> Mapping[str, Any]:
        """Each option with its default, or ``inspect.Parameter.empty`` where it has none."""
        return {
            name: parameter.default for name, parameter in inspect.signature(self.build).parameters.items()
        }

    def function(self, options: Mapping[str, Any]) -> Function:
        """The function for these options. Raises ``TransformError``."""
        return self._checked(self.build, options)

    def inverse_function(self, options: Mapping[str, Any]) -> Function | None:
        """The function that goes back, where there is one for these options. Raises ``TransformError``."""
        return self._checked(self.inverse, options) if self.inverse else None

    def _checked(self, factory: Callable[..., Built], options: Mapping[str, Any]) -> Built:
        for option in options:
            if option not in self.options:
                hint = did_you_mean(option, self.options) or f"it takes: {', '.join(self.options) or 'none'}"
                raise TransformError(f"transform '{self.name}' has no option '{option}'; {hint}")
        try:
            return factory(**options)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            option = ".".join(map(str, first["loc"]))
            raise TransformError(f"transform '{self.name}', option '{option}': {first['msg']}") from error
        except ValueError as error:
            raise TransformError(f"transform '{self.name}': {error}") from error


_TRANSFORMS: dict[str, Transform] = {}


def transform(
    name: str, *, does: str, source: str, limits: str, inverse: InverseFactory | None = None
) -> Callable[[Factory], Factory]:
    """Register a factory as a named transform. Its options are its keyword arguments, checked by their annotations."""
    checked = validate_call(config=ConfigDict(strict=True))

    def register(factory: Factory) -> Factory:
        if name in _TRANSFORMS:
            raise TypeError(f"two transforms are called '{name}'")
        _TRANSFORMS[name] = Transform(name, checked(factory), inverse, does, source, limits)
        return factory

    return register


def as_it_is(**_: Any) -> Function:
    """The inverse of a transform into a normal form: what is in normal form is sent as it is."""
    return lambda value: value


def transforms() -> Mapping[str, Transform]:
    """All transforms by name, in the order of their modules."""
    return dict(_TRANSFORMS)


def find_transform(name: str) -> Transform:
    """The transform of that name. Raises ``TransformError``, with the nearest name."""
    try:
        return _TRANSFORMS[name]
    except KeyError:
        hint = did_you_mean(name, _TRANSFORMS)
        raise TransformError(f"there is no transform '{name}'" + (f"; {hint}" if hint else "")) from None


def text_only(value: Any) -> str:
    """The value, if it is text. Raises ``UnconvertibleError``."""
    if not isinstance(value, str):
        raise UnconvertibleError("is not text")
    return value
