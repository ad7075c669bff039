"""A Salesforce org, as far as an integration meets it: OAuth, SOQL, records, collections, describe, limits."""

from infra.local.sandbox.salesforce.provider import SalesforceProvider

__all__ = ["SalesforceProvider"]
