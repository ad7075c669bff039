"""Countries."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import pycountry
from babel import Locale, UnknownLocaleError
from babel.core import get_global

from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.conversion.transforms.registry import Function, text_only, transform

CountryForm = Literal["alpha_2", "alpha_3", "numeric", "name"]


def locale_of(name: str) -> Locale:
    """A locale by its CLDR name (``de``, ``pt_BR``). Raises ``UnconvertibleError``."""
    try:
        return Locale.parse(name)
    except (UnknownLocaleError, ValueError) as error:
        raise UnconvertibleError(f"'{name}' is not a locale such as en, de or pt_BR") from error


@lru_cache(maxsize=64)
def _codes_by_name(locale: str) -> dict[str, str]:
    """Country codes by the names people use in a language."""
    names = locale_of(locale).territories.items()
    return {name.casefold(): code for code, name in names if len(code) == 2 and code.isalpha()}


def _code_in_use(code: str) -> str | None:
    """The country that a code people use, but ISO does not assign (``UK``), stands for, if it is one."""
    successors: list[str] = get_global("territory_aliases").get(code, [])
    return successors[0] if len(successors) == 1 else None


def _country(text: str, locale: str) -> Any:
    try:
        return pycountry.countries.lookup(text)
    except LookupError:
        pass
    code = _codes_by_name(locale).get(text.casefold()) or _code_in_use(text.upper())
    country = pycountry.countries.get(alpha_2=code) if code else None
    if country is None:
        raise UnconvertibleError("is not a country")
    return country


def _in_form(form: CountryForm, locale: str) -> Function:
    def write(value: object) -> str:
        country = _country(text_only(value).strip(), locale)
        if form == "name":
            return str(locale_of(locale).territories.get(country.alpha_2, country.name))
        return str(getattr(country, form))

    return write


def _country_back(
    *, to: CountryForm = "alpha_2", external: CountryForm | None = None, locale: str = "en"
) -> Function:
    return _in_form(external or to, locale)


@transform(
    "country",
    does="a country's code or name to its `alpha_2` (`DE`), `alpha_3`, `numeric` code or `name`, as `to` says; back as "
    "`external` says; names are read and written in the language of `locale`, read in English, too",
    source="pycountry (ISO 3166-1), Babel (CLDR) for names",
    limits="whole names as ISO or CLDR has them today, no misspellings: what else comes in, map with `enum`",
    inverse=_country_back,
)
def country(
    *,
    to: CountryForm = "alpha_2",
    external: CountryForm | None = None,  # noqa: ARG001 - for the way back
    locale: str = "en",
) -> Function:
    locale_of(locale)
    return _in_form(to, locale)
