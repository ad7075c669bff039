"""The queries of the alerts, the Workbook and the documents: where they are, and which tables and names they may use.

``python -m infra.queries`` prints them with the tables as JSON, for ``tools/check_queries.cjs``.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from castiel.telemetry import COUNTERS, HISTOGRAMS
from infra.configuration import ROOT

AZURE = Path(__file__).parent / "azure"

_ALL = {
    "timestamp": "datetime",
    "itemType": "string",
    "itemCount": "int",
    "customDimensions": "dynamic",
    "operation_Name": "string",
    "operation_Id": "string",
    "operation_ParentId": "string",
    "cloud_RoleName": "string",
    "cloud_RoleInstance": "string",
}
TABLES: Mapping[str, Mapping[str, str]] = {
    "customMetrics": {
        **_ALL,
        "name": "string",
        "value": "real",
        "valueCount": "int",
        "valueSum": "real",
        "valueMin": "real",
        "valueMax": "real",
        "valueStdDev": "real",
    },
    "traces": {**_ALL, "message": "string", "severityLevel": "int"},
    "requests": {
        **_ALL,
        "id": "string",
        "name": "string",
        "url": "string",
        "success": "bool",
        "resultCode": "string",
        "duration": "real",
    },
    "dependencies": {
        **_ALL,
        "id": "string",
        "target": "string",
        "type": "string",
        "name": "string",
        "data": "string",
        "success": "bool",
        "resultCode": "string",
        "duration": "real",
    },
    "exceptions": {
        **_ALL,
        "type": "string",
        "outerMessage": "string",
        "problemId": "string",
        "severityLevel": "int",
    },
}
"""The columns that queries may use: https://learn.microsoft.com/azure/azure-monitor/app/data-model-complete"""
OPERATORS = frozenset(
    {"where", "extend", "summarize", "project", "order", "take", "top", "distinct", "count"}
)
_WORDS = """
    and or in by asc desc has contains endswith startswith matches regex true false
    bin case count countif sum sumif max min avg percentile take_any
    tostring toint isnotempty isempty replace_regex ago now datetime
"""
"""Of https://learn.microsoft.com/kusto/query/, those that these queries use or may want."""
_KNOWN_WORDS = frozenset(_WORDS.split())


def queries() -> dict[str, str]:
    """Every query, by where it is; the Workbook's grain of time stands for an hour."""
    found = {file.name: file.read_text("utf-8") for file in sorted((AZURE / "queries").glob("*.kql"))}
    workbook = json.loads((AZURE / "workbook.json").read_text("utf-8"))
    for item in workbook["items"]:
        if "query" in item["content"]:
            found[f"workbook: {item['name']}"] = item["content"]["query"].replace("{TimeRange:grain}", "1h")
    for file in sorted((ROOT / "docs").glob("*.md")):
        for block in re.findall(r"(?ms)^```kusto\n(.*?)^```", file.read_text("utf-8")):
            for number, query in enumerate(block.strip().split("\n\n"), 1):
                found[f"{file.name}: {number}"] = query
    return found


def problems_of(query: str) -> Iterator[str]:
    """What is wrong with a query: its table, its columns, and the names that Castiel must emit for it to find rows."""
    text = re.sub(r"//[^\n]*", "", query).strip()
    source, *steps = [part.strip() for part in _split(text)]
    tables = [each.strip() for each in source.removeprefix("union ").split(",")]
    for table in tables:
        if table not in TABLES:
            yield f"there is no table {table}"
            return
    # What spans carry is set where they are made (castiel/tracing.py), not by one call that could be read here.
    if tables in (["customMetrics"], ["traces"]):
        yield from _dimensions(text, tables[0])
    if "customMetrics" in tables:
        yield from _metrics(text)
    columns = {column for table in tables for column in TABLES[table]}
    for step in steps:
        operator, *_ = step.split(maxsplit=1)
        rest = step.removeprefix(operator)
        if operator not in OPERATORS:
            yield f"{operator} is no operator known to this check"
        bare = re.sub(r'"[^"]*"', " ", rest)
        made = set(re.findall(r"\b([A-Za-z_]\w*)\s*=(?![=~])", bare))
        words = set(re.findall(r"(?<![\w.])([A-Za-z_]\w*)", bare)) - made
        for word in sorted(words - columns - _KNOWN_WORDS):
            yield f"{word} is no column here"
        if operator in ("summarize", "project", "distinct"):
            kept = re.split(r"\bby\b", bare)[-1] if operator == "summarize" else bare
            columns &= set(re.findall(r"[A-Za-z_]\w*", kept))
        columns |= made


def _split(text: str) -> list[str]:
    """The steps between pipes, but for pipes in strings."""
    return re.split(r'\|(?=(?:[^"]*"[^"]*")*[^"]*$)', text)


def _dimensions(text: str, table: str) -> Iterator[str]:
    used = set(re.findall(r'customDimensions\["(\w+)"\]', text))
    known = metric_dimensions() if table == "customMetrics" else {"": log_dimensions()}
    names = [name for name in re.findall(r'"(\w+)"', text) if name in known] or list(known)
    for each in sorted(used):
        if not any(each in known[name] for name in names):
            yield f"customDimensions has no {each}: nothing emits it"


def _metrics(text: str) -> Iterator[str]:
    """Names that ``name`` is compared with; each query must name at least one."""
    compared = re.findall(r'\bname\s*==\s*"(\w+)"', text)
    for group in re.findall(r"\bname\s+in\s*\(([^)]*)\)", text):
        compared += re.findall(r'"(\w+)"', group)
    if not compared:
        yield "it names no metric"
    for name in compared:
        if name not in COUNTERS and name not in HISTOGRAMS:
            yield f"{name} is no metric of castiel/telemetry.py"
    histograms = [name for name in compared if name in HISTOGRAMS]
    if histograms and re.search(r"\bsum\(value\)|\bavg\(value\)", text):
        yield f"{histograms[0]} is a histogram: its mean is sum(valueSum) / sum(valueCount)"


@cache
def metric_dimensions() -> dict[str, set[str]]:
    """The attributes that each metric is recorded with, from the calls in the code."""
    found: dict[str, set[str]] = {name: set() for name in (*COUNTERS, *HISTOGRAMS)}
    for function in _functions():
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and _called(call) in ("count", "record") and call.args:
                for name in _metric_names(call.args[0], function):
                    if name in found:
                        found[name] |= {keyword.arg for keyword in call.keywords if keyword.arg}
    return found


def _metric_names(node: ast.expr, function: ast.AST) -> list[str]:
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.JoinedStr):
        pattern = "".join(
            re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+" for part in node.values
        )
        return [name for name in (*COUNTERS, *HISTOGRAMS) if re.fullmatch(pattern, name)]
    # A variable: one of the names that the function mentions.
    return [
        str(each.value)
        for each in ast.walk(function)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]


@cache
def log_dimensions() -> set[str]:
    """The attributes that log lines may carry: of ``extra``, of helpers that make one, and of ``log_context``."""
    found: set[str] = set()
    for function in _functions():
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and _called(node) == "log_context":
                found |= {keyword.arg for keyword in node.keywords if keyword.arg}
            if isinstance(node, ast.Dict):
                found |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
    return found


@cache
def _functions() -> list[ast.AST]:
    return [
        node
        for file in sorted((ROOT / "castiel").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def main() -> None:
    """Print what ``tools/check_queries.cjs`` reads."""
    tables: dict[str, Any] = {
        name: "(" + ", ".join(f"{column}: {kind}" for column, kind in columns.items()) + ")"
        for name, columns in TABLES.items()
    }
    print(json.dumps({"tables": tables, "queries": queries()}))


if __name__ == "__main__":
    main()
