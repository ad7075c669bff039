"""E-mail addresses, phone numbers, web addresses."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import phonenumbers
from phonenumbers import PhoneNumberFormat

from castiel.domain.conversion.contacts import normalise_email, normalise_phone, parse_phone
from castiel.domain.conversion.problems import UnconvertibleError
from castiel.domain.conversion.transforms.registry import Function, as_it_is, text_only, transform

Otherwise = Literal["error", "keep", "null"]

EMAIL = "email-validator (RFC 5321, 6531)"
PHONE = "phonenumbers (Google's libphonenumber)"


def _lenient(read: Function, otherwise: Otherwise) -> Function:
    """What to do with what can't be read: fail the record, keep it as it is, or leave the field empty."""
    if otherwise == "error":
        return read

    def read_or_not(value: object) -> object:
        try:
            return read(value)
        except ValueError:
            return value if otherwise == "keep" else None

    return read_or_not


@transform(
    "email",
    does="one form for an address: trimmed, domain in lower case and, unless `lower` is false, the mailbox, too; "
    "`invalid` is `error`, `keep` or `null`",
    source=EMAIL,
    limits="does not ask whether the mailbox exists",
    inverse=as_it_is,
)
def email(*, lower: bool = True, invalid: Otherwise = "error") -> Function:
    return _lenient(lambda value: normalise_email(text_only(value), lower=lower), invalid)


@transform(
    "email_domain",
    does="the domain of an address, in lower case",
    source=EMAIL,
    limits="does not know which domains are a company's and which a mail provider's",
)
def email_domain(*, invalid: Otherwise = "error") -> Function:
    return _lenient(lambda value: normalise_email(text_only(value)).rpartition("@")[2], invalid)


@transform(
    "phone",
    does="E.164 (`+33123456789`), an extension as `;ext=12`; a number without its country's code is one of `region` "
    "(`FR`); `invalid` is `error`, `keep` or `null`",
    source=PHONE,
    limits="checks that a number is possible (length), not that it is assigned",
    inverse=as_it_is,
)
def phone(*, region: str | None = None, invalid: Otherwise = "error") -> Function:
    _check_region(region)
    return _lenient(lambda value: normalise_phone(text_only(value), region), invalid)


def _phone_from_display(*, region: str, **_: object) -> Function:
    return lambda value: normalise_phone(text_only(value), region)


@transform(
    "phone_display",
    does="a number as people write it: `style` `national` (numbers of `region`; others internationally) or `international`",
    source=PHONE,
    limits="numbers of countries that share a code (+1) all count as national",
    inverse=_phone_from_display,
)
def phone_display(*, region: str, style: Literal["national", "international"] = "national") -> Function:
    _check_region(region)
    code = phonenumbers.country_code_for_region(region)

    def write(value: object) -> str:
        number = parse_phone(text_only(value), region)
        at_home = style == "national" and number.country_code == code
        return phonenumbers.format_number(
            number, PhoneNumberFormat.NATIONAL if at_home else PhoneNumberFormat.INTERNATIONAL
        )

    return write


@transform(
    "url_host",
    does="the host of a web address, in lower case, without `www.`; a bare `example.com/x` will do",
    source="Python's `urllib.parse` (RFC 3986)",
    limits="keeps subdomains; does not look anything up",
)
def url_host() -> Function:
    def host(value: object) -> str:
        text = text_only(value).strip()
        try:
            name = urlsplit(text if "//" in text else f"//{text}").hostname
        except ValueError:
            name = None
        if not name:
            raise UnconvertibleError("is not a web address")
        return name.removeprefix("www.")

    return host


def _check_region(region: str | None) -> None:
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise UnconvertibleError("'region' is not a country's code (ISO 3166 alpha-2, such as FR)")
