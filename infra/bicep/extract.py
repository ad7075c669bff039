"""Writes ``infra/azure/schemas/types.json`` anew: the schemas of the resource types that the Bicep files use.

    npm pack @azure/mcp-linux-x64@2.0.5 && tar xzf azure-mcp-*.tgz          # MIT, Microsoft
    pip install --target sdk azure-mgmt-redisenterprise==3.1.0 azure-mgmt-monitor==7.0.0 azure-mgmt-privatedns==1.2.0
    python -m infra.bicep.extract --azmcp package/dist/azmcp --sdk sdk

Most types come from the Bicep types that ``azmcp`` carries; those it lacks, from the models of Microsoft's management
SDKs (MIT), which are made from the same API descriptions. Needed only when a type or a version is added.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from typing import Any

from infra.bicep.from_azmcp import convert
from infra.bicep.from_docs import WRITTEN
from infra.bicep.from_sdk import SDK_TYPES, sdk_types
from infra.bicep.schema import FILE
from infra.bicep.syntax import read

AZURE = Path(__file__).parent.parent / "azure"


def used_types() -> set[str]:
    """Every ``Provider/type@version`` in the Bicep files."""
    return {each.text for file in AZURE.rglob("*.bicep") for each in read(file).of("resource")}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--azmcp", required=True, type=Path, help="the azmcp program")
    parser.add_argument("--sdk", required=True, type=Path, help="folder with the azure-mgmt packages")
    given = parser.parse_args()
    resources: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    types: dict[str, Any]
    for name in sorted(used_types()):
        if name in WRITTEN:
            resources[name], group, types = WRITTEN[name], WRITTEN[name]["group"], {}
        elif name in SDK_TYPES:
            resources[name], group, types = sdk_types(name, given.sdk)
        else:
            resources[name], group, types = convert(name, _ask(given.azmcp, name.partition("@")[0]))
        groups.setdefault(group, {}).update(types)
    FILE.write_text(_compact({"resources": resources, "groups": groups}), "utf-8")
    print(f"{FILE}: {len(resources)} types, {FILE.stat().st_size // 1024} KiB")


def _ask(azmcp: Path, resource_type: str) -> list[dict[str, Any]]:
    command = [str(azmcp), "bicepschema", "get", "--resource-type", resource_type]
    environment = {"AZURE_MCP_COLLECT_TELEMETRY": "false", "HOME": "/tmp"}  # noqa: S108  (it keeps nothing there)
    answer = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603  (the caller's own program)
    return list(json.loads(answer.stdout)["results"]["BicepSchemaResult"])


def _compact(content: dict[str, Any]) -> str:
    """JSON with one named type a line: small, and still readable in a diff."""
    lines = []
    for part, entries in content.items():
        inner = []
        for name, value in sorted(entries.items()):
            if part == "groups":
                types = ",\n".join(f"{json.dumps(k)}:{_dump(v)}" for k, v in sorted(value.items()))
                inner.append(f"{json.dumps(name)}:{{\n{types}}}")
            else:
                inner.append(f"{json.dumps(name)}:{_dump(value)}")
        lines.append(f"{json.dumps(part)}:{{\n" + ",\n".join(inner) + "}")
    return "{" + ",\n".join(lines) + "}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


if __name__ == "__main__":
    main()
