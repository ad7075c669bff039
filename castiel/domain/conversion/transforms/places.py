"""Countries."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import pycountry
from babel import Locale, UnknownLocaleError

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


def _country(text: str, locale: str) -> Any:
    try:
        return pycountry.countries.lookup(text)
    except LookupError:
        pass
    country = pycountry.countries.get(alpha_2=_codes_by_name(locale).get(text.casefold(), ""))
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
    limits="whole names only, no misspellings; countries that no longer exist are refused",
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
