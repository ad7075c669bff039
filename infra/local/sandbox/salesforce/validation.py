"""What Salesforce checks before it stores a record.

Source of codes and texts: https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_calls_concepts_core_data_objects.htm
and the answers quoted in public issue threads.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from infra.local.sandbox.clock import parse_ms
from infra.local.sandbox.salesforce.errors import ApiError
from infra.local.sandbox.salesforce.ids import full_id
from infra.local.sandbox.salesforce.rendering import datetime_text
from infra.local.sandbox.salesforce.schema import Field, SObject

JsonObject = dict[str, Any]

_EMAIL = re.compile(r"[^@\s<>,;]+@[^@\s<>,;.]+(\.[^@\s<>,;.]+)+")
_NUMBERS = {"int": "int", "double": "double", "currency": "double", "percent": "double"}


def cleaned(sobject: SObject, given: JsonObject, creating: bool) -> JsonObject:
    """The fields to store, by their proper names. Raises ApiError as Salesforce would answer."""
    fields = {name: _known(sobject, name) for name in given if name != "attributes"}
    refused = [f.name for f in fields.values() if not (f.createable if creating else f.updateable)]
    if refused:
        text = (
            f"Unable to create/update fields: {', '.join(refused)}. Please check the security settings of this "
            "field and verify that it is read/write for your profile or permission set."
        )
        raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", text, refused)
    values = {field.name: _stored(field, given[name]) for name, field in fields.items()}
    _require(sobject, values, creating)
    return values


def _known(sobject: SObject, name: str) -> Field:
    field = sobject.field(name)
    if field is None:
        raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
    return field


def _require(sobject: SObject, values: JsonObject, creating: bool) -> None:
    named = sobject.fields.values() if creating else [sobject.fields[name] for name in values]
    missing = [f.name for f in named if f.required and values.get(f.name) is None]
    if missing:
        text = f"Required fields are missing: [{', '.join(missing)}]"
        raise ApiError(400, "REQUIRED_FIELD_MISSING", text, missing)


def _stored(field: Field, value: Any) -> Any:
    if value is None or value == "":
        return None
    if isinstance(value, dict | list):
        raise _wrong_type(field, "START_OBJECT" if isinstance(value, dict) else "START_ARRAY", value)
    if field.type == "boolean":
        return _boolean(field, value)
    if field.type in _NUMBERS:
        return _number(field, value)
    if field.type == "reference":
        return _reference(field, value)
    if field.type in ("date", "datetime"):
        return _moment(field, value)
    return _text(field, value)


def _boolean(field: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _wrong_type(field, "VALUE_STRING", value)


def _number(field: Field, value: Any) -> int | float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
        if field.type == "int" and number != int(number):
            raise ValueError
        return int(number) if field.type == "int" else number
    except ValueError:
        raise _wrong_type(field, "VALUE_STRING", value) from None


def _reference(field: Field, value: Any) -> str:
    found = full_id(str(value))
    if found is None:
        text = f"{field.label}: id value of incorrect type: {value}"
        raise ApiError(400, "MALFORMED_ID", text, [field.name])
    return found


def _moment(field: Field, value: Any) -> str:
    try:
        if field.type == "datetime":
            return datetime_text(parse_ms(str(value)))
        return date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError:
        raise _wrong_type(field, "VALUE_STRING", value) from None


def _text(field: Field, value: Any) -> str | None:
    # Salesforce trims text; a value of blanks alone is stored as null.
    text = (str(value).lower() if isinstance(value, bool) else str(value)).strip()
    if field.length and len(text) > field.length:
        message = f"{field.label}: data value too large: {text} (max length={field.length})"
        raise ApiError(400, "STRING_TOO_LONG", message, [field.name])
    if field.type == "email" and text and not _EMAIL.fullmatch(text):
        message = f"{field.label}: invalid email address: {text}"
        raise ApiError(400, "INVALID_EMAIL_ADDRESS", message, [field.name])
    return text or None


def _wrong_type(field: Field, token: str, value: Any) -> ApiError:
    text = (
        f"Cannot deserialize instance of {field.type} from {token} value {value} or request may be missing a "
        "required field at [line:1, column:1]"
    )
    return ApiError(400, "JSON_PARSER_ERROR", text)
