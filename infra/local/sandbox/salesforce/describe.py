"""`/sobjects`, `/sobjects/X/describe` and `/limits`: what the org says about itself."""

from __future__ import annotations

from typing import Any

from infra.local.sandbox.salesforce.schema import OBJECTS, SOAP_TYPES, Field, SObject

JsonObject = dict[str, Any]

_NOT_FILTERABLE_LENGTH = 255


def global_describe(version: str) -> JsonObject:
    """All objects, briefly."""
    sobjects = [_summary(sobject, version) for sobject in OBJECTS.values()]
    return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": sobjects}


def describe(sobject: SObject, version: str) -> JsonObject:
    """One object with its fields."""
    fields = [_field(field) for field in sobject.fields.values()]
    return _summary(sobject, version) | {"fields": fields, "childRelationships": [], "recordTypeInfos": []}


def basic_information(sobject: SObject, version: str) -> JsonObject:
    return {"objectDescribe": _summary(sobject, version), "recentItems": []}


def limits(used: int, maximum: int) -> JsonObject:
    """The limits an integration reads. Remaining is never below zero."""
    return {
        "DailyApiRequests": {"Max": maximum, "Remaining": max(0, maximum - used)},
        "DailyBulkV2QueryJobs": {"Max": 10000, "Remaining": 10000},
        "DataStorageMB": {"Max": 10240, "Remaining": 10012},
        "HourlyPublishedPlatformEvents": {"Max": 50000, "Remaining": 50000},
    }


def _summary(sobject: SObject, version: str) -> JsonObject:
    url = f"/services/data/{version}/sobjects/{sobject.name}"
    own = sobject.name != "User"
    return {
        "name": sobject.name,
        "label": sobject.name,
        "labelPlural": sobject.label_plural,
        "keyPrefix": sobject.prefix,
        "custom": False,
        "createable": True,
        "deletable": own,
        "queryable": True,
        "replicateable": True,
        "retrieveable": True,
        "undeletable": own,
        "updateable": True,
        "urls": {
            "sobject": url,
            "describe": f"{url}/describe",
            "rowTemplate": f"{url}/{{ID}}",
        },
    }


def _field(field: Field) -> JsonObject:
    numeric = field.type in ("double", "currency", "percent")
    long_text = field.type == "textarea" and field.length > _NOT_FILTERABLE_LENGTH
    return {
        "name": field.name,
        "label": field.label,
        "type": field.type,
        "soapType": SOAP_TYPES.get(field.type, "xsd:string"),
        "length": field.length,
        "precision": 18 if numeric else 0,
        "scale": 2 if numeric else 0,
        "digits": 8 if field.type == "int" else 0,
        "nillable": field.nillable,
        "createable": field.createable,
        "updateable": field.updateable,
        "defaultedOnCreate": field.default is not None or field.type == "boolean",
        "calculated": False,
        "custom": field.name.endswith("__c"),
        "externalId": field.external_id,
        "idLookup": field.external_id or field.column == "id",
        "unique": field.unique,
        "filterable": not long_text,
        "sortable": not long_text,
        "nameField": field.name == "Name",
        "restrictedPicklist": False,
        "picklistValues": [
            {
                "active": True,
                "defaultValue": value == field.default,
                "label": value,
                "value": value,
                "validFor": None,
            }
            for value in field.values
        ],
        "referenceTo": [field.refers_to] if field.refers_to else [],
        "relationshipName": field.relationship,
    }
