"""``python -m infra.bicep``: what is wrong with the files of ``infra/azure``; with ``--list``, what they deploy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from infra.bicep.names import name_problems
from infra.bicep.template import deploy, parameters_of

AZURE = Path(__file__).parent.parent / "azure"
DEV = {
    **parameters_of(AZURE / "dev.bicepparam"),
    "operatorPrincipalId": "<operator>",
    "alertEmail": "ops@example.com",
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "dev": parameters_of(AZURE / "dev.bicepparam"),
    "dev with an operator": DEV,
    "prod": parameters_of(AZURE / "prod.bicepparam"),
    "prod without private networking": {
        **parameters_of(AZURE / "prod.bicepparam"),
        "privateNetworking": False,
    },
}
"""Parameters by which every branch of the files is gone through."""


def problems_in(folder: Path = AZURE, variants: Iterable[str] = VARIANTS) -> list[str]:
    """Everything that is wrong, with the parameters of these variants."""
    found = {text for file in folder.rglob("*.bicep") for text in name_problems(file)}
    for each in variants:
        found.update(deploy(folder / "main.bicep", VARIANTS[each]).problems)
    return sorted(found)


def main() -> int:
    """See the module. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", choices=list(VARIANTS), help="list the resources of one variant")
    given = parser.parse_args()
    if given.list:
        for each in deploy(AZURE / "main.bicep", VARIANTS[given.list]).resources:
            print(f"{each.type.partition('@')[0]:70} {each.name}{' (existing)' if each.existing else ''}")
        return 0
    problems = problems_in()
    print("\n".join(problems) or "nothing is wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
