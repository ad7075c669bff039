"""The objects of the sandboxed org and their fields.

Types, lengths and flags follow the object reference:
https://developer.salesforce.com/docs/atlas.en-us.object_reference.meta/object_reference/sforce_api_objects_list.htm
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

EXTERNAL_ID = "Castiel_Id__c"

SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "boolean": "xsd:boolean",
    "datetime": "xsd:dateTime",
    "date": "xsd:date",
    "int": "xsd:int",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `column` names the store's column for what is not kept in the record's own data."""

    name: str
    type: str = "string"
    label: str = ""
    length: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    external_id: bool = False
    unique: bool = False
    default: object = None
    values: tuple[str, ...] = ()
    refers_to: str | None = None
    relationship: str | None = None
    column: str | None = None
    derived: bool = False

    @property
    def required(self) -> bool:
        """Whether a create without it fails."""
        return self.createable and not self.nillable and self.default is None and self.type != "boolean"


@dataclass(frozen=True, slots=True)
class SObject:
    """One object: its key prefix and its fields by name."""

    name: str
    prefix: str
    label_plural: str
    fields: dict[str, Field] = field(default_factory=dict)

    def field(self, name: str) -> Field | None:
        """The field of that name in any case, as Salesforce matches names."""
        return self.fields.get(name) or _by_lower(self).get(name.lower())

    def relationship(self, name: str) -> Field | None:
        """The reference field whose relationship has that name."""
        wanted = name.lower()
        return next((f for f in self.fields.values() if (f.relationship or "").lower() == wanted), None)


_lowered: dict[str, dict[str, Field]] = {}


def _by_lower(sobject: SObject) -> dict[str, Field]:
    if sobject.name not in _lowered:
        _lowered[sobject.name] = {name.lower(): f for name, f in sobject.fields.items()}
    return _lowered[sobject.name]


def _label(name: str) -> str:
    words = "".join(f" {c}" if c.isupper() and i else c for i, c in enumerate(name.removesuffix("__c")))
    return words.replace("_", " ").strip()


def _system(name: str, kind: str, **more: object) -> Field:
    basis = Field(name, kind, nillable=False, createable=False, updateable=False)
    return replace(basis, **more)  # type: ignore[arg-type]


_SYSTEM = (
    _system("Id", "id", length=18, column="id"),
    _system("IsDeleted", "boolean", column="deleted"),
    _system("CreatedDate", "datetime", column="created_ms"),
    _system("CreatedById", "reference", length=18, refers_to="User", relationship="CreatedBy"),
    _system("LastModifiedDate", "datetime", column="modified_ms"),
    _system("LastModifiedById", "reference", length=18, refers_to="User", relationship="LastModifiedBy"),
    _system("SystemModstamp", "datetime", column="modified_ms"),
)
_OWNER = Field("OwnerId", "reference", length=18, refers_to="User", relationship="Owner", default="<caller>")
_EXTERNAL = Field(EXTERNAL_ID, length=64, external_id=True, unique=True, label="Castiel Id")


def _reference(name: str, to: str) -> Field:
    return Field(name, "reference", length=18, refers_to=to, relationship=name.removesuffix("Id"))


def _address(prefix: str) -> tuple[Field, ...]:
    lengths = {"City": 40, "State": 80, "PostalCode": 20, "Country": 80}
    street = Field(f"{prefix}Street", "textarea", length=255)
    return (street, *(Field(f"{prefix}{part}", length=length) for part, length in lengths.items()))


def _sobject(name: str, prefix: str, plural: str, *fields: Field, standard: bool = True) -> SObject:
    every = (*_SYSTEM, *fields, *((_OWNER, _EXTERNAL) if standard else ()))
    return SObject(name, prefix, plural, {f.name: replace(f, label=f.label or _label(f.name)) for f in every})


_INDUSTRIES = (
    "Agriculture",
    "Banking",
    "Consulting",
    "Education",
    "Energy",
    "Healthcare",
    "Manufacturing",
    "Technology",
)
_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
_SALUTATIONS = ("Mr.", "Ms.", "Mrs.", "Dr.", "Prof.")
_STAGES = (
    "Prospecting",
    "Qualification",
    "Needs Analysis",
    "Proposal/Price Quote",
    "Closed Won",
    "Closed Lost",
)
_PERSON = (
    Field("LastName", length=80, nillable=False),
    Field("FirstName", length=40),
    Field("Salutation", "picklist", length=40, values=_SALUTATIONS),
    Field(
        "Name",
        length=121,
        nillable=False,
        createable=False,
        updateable=False,
        derived=True,
        label="Full Name",
    ),
)

OBJECTS: dict[str, SObject] = {
    sobject.name: sobject
    for sobject in (
        _sobject(
            "Account",
            "001",
            "Accounts",
            Field("Name", length=255, nillable=False, label="Account Name"),
            Field("Type", "picklist", length=255, values=("Prospect", "Customer", "Partner", "Other")),
            Field("Industry", "picklist", length=255, values=_INDUSTRIES),
            Field("Phone", "phone", length=40),
            Field("Website", "url", length=255),
            Field("AccountNumber", length=40),
            Field("NumberOfEmployees", "int"),
            Field("AnnualRevenue", "currency"),
            Field("Description", "textarea", length=32000),
            _reference("ParentId", "Account"),
            *_address("Billing"),
            *_address("Shipping"),
        ),
        _sobject(
            "Contact",
            "003",
            "Contacts",
            *_PERSON,
            _reference("AccountId", "Account"),
            Field("Email", "email", length=80),
            Field("Phone", "phone", length=40, label="Business Phone"),
            Field("MobilePhone", "phone", length=40),
            Field("Title", length=128),
            Field("Department", length=80),
            Field("Birthdate", "date"),
            Field("LeadSource", "picklist", length=255, values=_SOURCES),
            Field("Description", "textarea", length=32000),
            Field("DoNotCall", "boolean", default=False, nillable=False),
            Field("HasOptedOutOfEmail", "boolean", default=False, nillable=False, label="Email Opt Out"),
            _reference("ReportsToId", "Contact"),
            *_address("Mailing"),
        ),
        _sobject(
            "Opportunity",
            "006",
            "Opportunities",
            Field("Name", length=120, nillable=False),
            _reference("AccountId", "Account"),
            Field("StageName", "picklist", length=255, nillable=False, values=_STAGES, label="Stage"),
            Field("CloseDate", "date", nillable=False),
            Field("Amount", "currency"),
            Field("Probability", "percent"),
            Field("Type", "picklist", length=255, values=("New Business", "Existing Business")),
            Field("LeadSource", "picklist", length=255, values=_SOURCES),
            Field("NextStep", length=255),
            Field("Description", "textarea", length=32000),
            Field("IsClosed", "boolean", nillable=False, createable=False, updateable=False, derived=True),
            Field("IsWon", "boolean", nillable=False, createable=False, updateable=False, derived=True),
        ),
        _sobject(
            "Lead",
            "00Q",
            "Leads",
            *_PERSON,
            Field("Company", length=255, nillable=False),
            Field("Email", "email", length=80),
            Field("Phone", "phone", length=40),
            Field("Title", length=128),
            Field(
                "Status",
                "picklist",
                length=255,
                nillable=False,
                default="Open - Not Contacted",
                values=(
                    "Open - Not Contacted",
                    "Working - Contacted",
                    "Closed - Converted",
                    "Closed - Not Converted",
                ),
            ),
            Field("LeadSource", "picklist", length=255, values=_SOURCES),
            Field("Industry", "picklist", length=255, values=_INDUSTRIES),
            Field("Description", "textarea", length=32000),
            Field("IsConverted", "boolean", default=False, nillable=False, updateable=False),
        ),
        _sobject(
            "User",
            "005",
            "Users",
            *_PERSON,
            Field("Username", length=80, nillable=False, unique=True),
            Field("Email", "email", length=128, nillable=False),
            Field("Alias", length=8, nillable=False),
            Field("IsActive", "boolean", default=True, nillable=False),
            Field("TimeZoneSidKey", "picklist", length=40, nillable=False, default="Europe/Berlin"),
            standard=False,
        ),
    )
}


def find_object(name: str) -> SObject | None:
    """The object of that name in any case."""
    wanted = name.lower()
    return OBJECTS.get(name) or next((o for o in OBJECTS.values() if o.name.lower() == wanted), None)
