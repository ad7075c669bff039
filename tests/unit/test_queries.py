"""The alerts' and the Workbook's queries find what Castiel emits. `make queries` parses them as Azure does."""

from __future__ import annotations

import json
import re

import pytest

from infra.bicep.__main__ import AZURE, VARIANTS
from infra.bicep.template import deploy
from infra.queries import metric_dimensions, problems_of, queries
from tests.support.bicep import PROD

QUERIES = queries()
RULES = {
    each.body["properties"]["displayName"].removeprefix("Castiel: "): each.body["properties"]
    for each in PROD.of_type("Microsoft.Insights/scheduledQueryRules")
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_uses_what_is_emitted(name: str) -> None:
    assert list(problems_of(QUERIES[name])) == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ('customMetric | where name == "inbound_records"', "there is no table customMetric"),
        ('customMetrics | where name == "inbound_record"', "inbound_record is no metric"),
        ('customMetrics | where name in ("inbound_records", "pulled")', "pulled is no metric"),
        ("customMetrics | summarize sum(value)", "it names no metric"),
        ('customMetrics | where name == "inbound_records" | summarize sum(valeu)', "valeu is no column"),
        ('customMetrics | where name == "inbound_records" | sumarize sum(value)', "sumarize is no operator"),
        ('customMetrics | where name == "inbound_records" | summarize Sum = sum(value) by name | where value > 0', "value is no column"),
        ('customMetrics | where name == "inbound_records" | extend x = customDimensions["status"]', "customDimensions has no status"),
        ('traces | where customDimensions["credential"] == "x"', "customDimensions has no credential"),
        ('customMetrics | where name == "webhook_duration_ms" | summarize avg(value)', "is a histogram"),
    ],
)  # fmt: skip
def test_a_mistake_is_found(query: str, said: str) -> None:
    assert any(said in line for line in problems_of(query)), list(problems_of(query))


def test_dimensions_are_read_from_the_code() -> None:
    assert metric_dimensions()["webhook_received"] == {"status"}
    assert metric_dimensions()["inbound_worker_failure"] == {"integration"}
    assert metric_dimensions()["outbound_worker_success"] == {"integration"}
    assert metric_dimensions()["queue_wait_ms"] == {"function"}


def test_every_alert_that_was_asked_for_is_there() -> None:
    metric_alerts = {
        re.sub(r"^castiel-|-\w+$", "", each.name) for each in PROD.of_type("Microsoft.Insights/metricAlerts")
    }
    assert {"dead-letters", "queue-stalled-sync-inbound", "queue-stalled-sync-outbound"} <= metric_alerts
    assert {"reauth-required", "failure-rate", "queue-age", "webhook-errors", "limiter-fallback"} <= set(
        RULES
    )


def test_a_rule_of_several_conditions_takes_one_value_of_a_dimension() -> None:
    for each in PROD.of_type("Microsoft.Insights/metricAlerts"):
        conditions = each.body["properties"]["criteria"]["allOf"]
        for dimension in (found for condition in conditions for found in condition["dimensions"]):
            assert len(conditions) == 1 or len(dimension["values"]) == 1, each.name


@pytest.mark.parametrize("name", RULES)
def test_a_rule_measures_what_its_query_returns(name: str) -> None:
    criterion = RULES[name]["criteria"]["allOf"][0]
    # https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-types#log-alerts: a measured column or a count of rows
    if criterion["timeAggregation"] == "Count":
        assert "metricMeasureColumn" not in criterion
    else:
        assert re.search(rf"\b{criterion['metricMeasureColumn']} = ", criterion["query"])
    for dimension in criterion.get("dimensions", []):
        assert re.search(rf"\bby {dimension['name']}\b|project {dimension['name']}\b", criterion["query"])


def test_the_words_of_the_reauth_alert_are_those_of_the_log() -> None:
    said = re.search(r'message has "([^"]+)"', QUERIES["reauth-required.kql"])
    assert said is not None
    source = (AZURE.parent.parent / "castiel/services/credentials/reauthorisation.py").read_text("utf-8")
    assert re.search(rf'logger\.error\(\s*"[^"]*{said[1]}', source)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_workbook_looks_at_what_was_deployed(variant: str) -> None:
    deployment = deploy(AZURE / "main.bicep", VARIANTS[variant])
    (workbook,) = deployment.of_type("Microsoft.Insights/workbooks")
    items = json.loads(workbook.body["properties"]["serializedData"])["items"]
    made = {each.id for each in deployment.resources}
    shown = [each["content"] for each in items if each["type"] == 10]
    assert shown
    for content in shown:
        assert set(content["resourceIds"]) <= made
        kind = content["resourceIds"][0].partition("/providers/")[2].rsplit("/", 1)[0]
        assert kind.lower() == content["resourceType"]
        assert all(each["metric"].startswith(f"{content['resourceType']}--") for each in content["metrics"])
    parameters = {
        each["name"] for item in items if item["type"] == 9 for each in item["content"]["parameters"]
    }
    used = {
        name for item in items for name in re.findall(r"\{(\w+)(?::\w+)?\}", item["content"].get("query", ""))
    }
    assert used <= parameters
    assert all(
        item["content"]["timeContextFromParameter"] in parameters for item in items if item["type"] in (3, 10)
    )
    names = [item["name"] for item in items]
    assert len(names) == len(set(names))
