"""Named functions that bring a value to the form it is compared in, or made a key of.

Each takes text and returns text; an empty result means "says nothing": the value then counts as missing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jellyfish

from castiel.domain.matching.vocabulary import (
    GENERATIONS,
    HONORIFICS,
    LEGAL_FORMS,
    PUBLIC_MAIL_DOMAINS,
    SHARED_MAILBOXES,
    SHARED_WEB_DOMAINS,
    STREET_WORDS,
)

Normaliser = Callable[[str], str]

# Letters that Unicode does not decompose into a base letter and a mark.
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
)
_NOT_WORD = re.compile(r"[^\w]+|_")
_APOSTROPHES = re.compile(r"['’`´.]")
_NOT_DIGIT = re.compile(r"\D+")
_PHONE_EXTENSION = re.compile(r"(?:;ext=|\bext(?:ension)?\b|(?<=[\d\s])x(?=\s*\d)|#).*$", re.IGNORECASE)
_TRUNK_ZERO = re.compile(r"\(0\)")
_YEAR_FIRST = re.compile(r"^\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:\D.*)?$")
_YEAR_LAST = re.compile(r"^\s*(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4})\s*$")
_PLACEHOLDER_DATES = frozenset({"00010101", "19000101", "00000000", "99991231"})
_PHONE_SUFFIX = 9
_MIN_PHONE_DIGITS = 6
_MIN_HALVED = 6


def text(value: str) -> str:
    """Lower case, without accents and punctuation, single spaces."""
    folded = value.casefold() if value.isascii() else _fold(value)
    if folded.isalnum():  # one word, as most names are
        return folded
    return " ".join(_NOT_WORD.sub(" ", _APOSTROPHES.sub("", folded)).split())


def _fold(value: str) -> str:
    decomposed = unicodedata.normalize("NFKD", value.casefold().translate(_LETTERS))
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_LETTERS)


def compact(value: str) -> str:
    """``text`` without spaces."""
    return text(value).replace(" ", "")


def trim(value: str) -> str:
    """As it is, without spaces around it: for identifiers that mind case."""
    return value.strip()


def digits(value: str) -> str:
    """The digits alone."""
    return _NOT_DIGIT.sub("", value)


def identifier(value: str) -> str:
    """Letters and digits, upper case; nothing where all are the same (``000-00-0000`` stands for none)."""
    code = compact(value).upper()
    return code if len(set(code)) > 1 else ""


def identifier_head(value: str) -> str:
    """The first half of an ``identifier`` of six characters and more: whole where a slip is in the second."""
    code = identifier(value)
    return code[: len(code) // 2] if len(code) >= _MIN_HALVED else ""


def identifier_tail(value: str) -> str:
    """The second half of an ``identifier`` of six characters and more: whole where a slip is in the first."""
    code = identifier(value)
    return code[len(code) // 2 :] if len(code) >= _MIN_HALVED else ""


def given_name(value: str) -> str:
    """``text`` without titles."""
    return " ".join(word for word in text(value).split() if word not in HONORIFICS)


def surname(value: str) -> str:
    """``text`` without titles and Jr/Sr/III."""
    words = [word for word in text(value).split() if word not in HONORIFICS]
    while len(words) > 1 and words[-1] in GENERATIONS:
        words.pop()
    return " ".join(words)


def generation(value: str) -> str:
    """What Jr, Sr or III after a name says; nothing where there is none."""
    words = text(value).split()
    return GENERATIONS.get(words[-1], "") if words else ""


def first_of_name(value: str) -> str:
    """The given names within a whole name (``Doe, Jane`` and ``Jane Doe``)."""
    _family, comma, given = value.partition(",")
    if comma and text(given) and not generation(given):
        return given_name(given)
    words = surname(value).split()
    return " ".join(words[:-1])


def last_of_name(value: str) -> str:
    """The surname within a whole name; nothing where the name is one word."""
    family, comma, given = value.partition(",")
    if comma and text(given) and not generation(given):
        return surname(family)
    words = surname(value).split()
    return words[-1] if len(words) > 1 else ""


def email(value: str) -> str:
    """Lower case, without ``+tag``; Gmail's dots and second domain unified."""
    address = value.strip().casefold().removeprefix("mailto:")
    local, at, domain = address.rpartition("@")
    if not at or not local or "." not in domain:
        return ""
    local = local.partition("+")[0] or local
    if domain in ("gmail.com", "googlemail.com"):
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


def personal_email(value: str) -> str:
    """``email``, unless the mailbox is one that people share (``info@``, ``sales@``)."""
    address = email(value)
    return "" if address.partition("@")[0] in SHARED_MAILBOXES else address


def phone(value: str) -> str:
    """The last nine digits: the same with and without country code, trunk zero and extension."""
    number = value.removeprefix("+")
    if not number.isdecimal():  # not E.164, as conversion writes it
        number = digits(_PHONE_EXTENSION.sub("", _TRUNK_ZERO.sub("", value)))
    if len(number) < _MIN_PHONE_DIGITS or len(set(number)) == 1:
        return ""
    return number[-_PHONE_SUFFIX:]


def date(value: str) -> str:
    """``YYYYMMDD`` from ISO dates and times, ``D.M.YYYY``, ``M/D/YYYY`` (which of day and month is unsure: swapped
    ones compare as close) and eight digits. Placeholders such as 1900-01-01 count as missing."""
    if found := _YEAR_FIRST.match(value):
        result = f"{found[1]}{int(found[2]):02d}{int(found[3]):02d}"
    elif found := _YEAR_LAST.match(value):
        first, second = int(found[1]), int(found[3])
        month, day = (first, second) if (found[2] == "/" and first <= 12) or second > 12 else (second, first)
        result = f"{found[4]}{month:02d}{day:02d}"
    else:
        result = digits(value)
    return result if len(result) == 8 and result not in _PLACEHOLDER_DATES else ""


def year(value: str) -> str:
    """The year of a date."""
    return date(value)[:4]


def postal_code(value: str) -> str:
    """Letters and digits, upper case; a US ZIP+4 without the four."""
    code = compact(value).upper()
    return code[:5] if len(code) == 9 and code.isdigit() else code


def street(value: str) -> str:
    """``text`` with the usual words for streets abbreviated."""
    return " ".join(STREET_WORDS.get(word, word) for word in text(value).replace("strasse", "str").split())


def domain(value: str) -> str:
    """The host of a URL, or what follows the ``@``, without ``www.``."""
    host = value.strip().casefold().rpartition("@")[2]
    host = re.split(r"[/?#:]", host.partition("://")[2] or host, maxsplit=1)[0]
    host = host.removeprefix("www.").rstrip(".")
    return host if "." in host else ""


def company_domain(value: str) -> str:
    """``domain``, unless it belongs to a mail or web service that everybody uses."""
    host = domain(value)
    return "" if host in PUBLIC_MAIL_DOMAINS or host in SHARED_WEB_DOMAINS else host


def company_name(value: str) -> str:
    """``text`` without legal forms (``Ltd``, ``GmbH & Co. KG``)."""
    words = text(value).split()
    kept = [word for word in words if word not in LEGAL_FORMS and word != "the"]
    return " ".join(kept or words)


def _per_word(code: Callable[[str], str]) -> Normaliser:
    def of_each_word(value: str) -> str:
        words = text(value).split()
        return " ".join(filter(None, (code(word) for word in words if word.isascii() and word.isalpha())))

    of_each_word.__doc__ = f"The {code.__name__} code of each word."
    return of_each_word


def initial(value: str) -> str:
    """The first letter."""
    return text(value)[:1]


def prefix4(value: str) -> str:
    """The first four letters or digits."""
    return compact(value)[:4]


def house_number(value: str) -> str:
    """The first number in an address line."""
    found = re.search(r"\d+", value)
    return found[0] if found else ""


NORMALISERS: Mapping[str, Normaliser] = MappingProxyType(
    {
        "text": text,
        "compact": compact,
        "trim": trim,
        "digits": digits,
        "identifier": identifier,
        "identifierHead": identifier_head,
        "identifierTail": identifier_tail,
        "givenName": given_name,
        "surname": surname,
        "generation": generation,
        "firstOfName": first_of_name,
        "lastOfName": last_of_name,
        "email": email,
        "personalEmail": personal_email,
        "phone": phone,
        "date": date,
        "year": year,
        "postalCode": postal_code,
        "street": street,
        "houseNumber": house_number,
        "domain": domain,
        "companyDomain": company_domain,
        "companyName": company_name,
        "initial": initial,
        "prefix4": prefix4,
        "soundex": _per_word(jellyfish.soundex),
        "metaphone": _per_word(jellyfish.metaphone),
        "nysiis": _per_word(jellyfish.nysiis),
        "matchRating": _per_word(jellyfish.match_rating_codex),
    }
)
"""Every normaliser by the name rules use."""

PHONETIC = frozenset({"soundex", "metaphone", "nysiis", "matchRating"})
"""The normalisers that are sound codes."""
