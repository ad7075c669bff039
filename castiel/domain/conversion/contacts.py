"""E-mail addresses and phone numbers in their one normal form."""

from __future__ import annotations

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import NumberParseException, PhoneNumberFormat

from castiel.domain.conversion.problems import UnconvertibleError

SANDBOX_SUFFIX = ".invalid"


def normalise_email(text: str, *, lower: bool = False) -> str:
    """The address with its domain in lower case and Unicode; with ``lower`` the mailbox in lower case, too.

    By the rules of email-validator (RFC 5321, 6531), without looking anything up. The reserved domain ``test`` is let
    through, and so is ``.invalid`` after a whole address: Salesforce adds it to users' addresses in sandboxes
    (help.salesforce.com, article 000386507). Raises ``UnconvertibleError``.
    """
    text, sandbox = text.strip(), ""
    if text.lower().endswith(SANDBOX_SUFFIX):
        text, sandbox = text[: -len(SANDBOX_SUFFIX)], SANDBOX_SUFFIX
    try:
        address = validate_email(text, check_deliverability=False, test_environment=True).normalized + sandbox
    except EmailNotValidError as error:
        raise UnconvertibleError("is not an e-mail address") from error
    return address.lower() if lower else address


def parse_phone(text: str, region: str | None = None) -> phonenumbers.PhoneNumber:
    """A phone number; one without a country's code is from ``region`` (ISO 3166 alpha-2). Raises ``UnconvertibleError``."""
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        hint = "" if region else " with its country's code"
        raise UnconvertibleError(f"is not a phone number{hint}") from error
    if not phonenumbers.is_possible_number(number):
        raise UnconvertibleError("is not a possible phone number")
    return number


def normalise_phone(text: str, region: str | None = None) -> str:
    """E.164 (``+33123456789``), with an extension as RFC 3966 writes it (``;ext=12``). Raises ``UnconvertibleError``."""
    number = parse_phone(text, region)
    extension = f";ext={number.extension}" if number.extension else ""
    return phonenumbers.format_number(number, PhoneNumberFormat.E164) + extension
