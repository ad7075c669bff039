"""How well, and how fast, the shipped rules for people find duplicates in labelled data.

Precision, recall and F1 are of what ``find_duplicates`` merges: pairs of records in one group, against the labels.
Pairs parked for review count as not merged; ``found`` is the recall with them. The rules are the same for every
set and nothing is trained. ``each pair alone`` leaves out what a third record adds. febrl4 and the made-up people
(families, twins, namesakes, offices) are the check that the rules are not made to fit: nothing was chosen by them.

    python -m benchmarks.bench_dedupe
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.febrl import SETS, Pair, load
from benchmarks.made_up_people import made_up_people
from castiel.domain.matching import Decision, Matcher, Prepared, blocking_keys, find_duplicates, person_rules

PAGE = 200
"""Records per page, as the inbound worker fetches them."""
KEYS_PER_QUERY = 256
"""Keys one ``IN`` query takes along: its text and parameters stay small."""
_PAIRS_TO_TIME = 100_000
_ROUNDS = 5
_SEED, _HOUSEHOLDS = 1, 500


def run() -> dict[str, dict[str, Any]]:
    """The measurements of every set, by its name."""
    matcher = Matcher(person_rules())
    sets = {name: measure(*load(name), matcher) for name in SETS}
    return {**sets, "made_up": measure(*made_up_people(_SEED, _HOUSEHOLDS), matcher)}


def measure(
    records: Sequence[dict[str, str]], labels: set[Pair], matcher: Matcher, repeat_to: int = _PAIRS_TO_TIME
) -> dict[str, Any]:
    """One set's measurements. Times are this process's own on one core, of the fastest round (of ``repeat_to`` pairs)."""
    started = time.process_time()
    keys = [blocking_keys(fields, matcher.rules) for fields in records]
    prepared = [matcher.prepare(fields) for fields in records]
    preparing = time.process_time() - started
    likely = _sharing_a_key(keys)
    duplicates = find_duplicates(records, matcher)
    merged = {pair for group in duplicates.groups for pair in combinations(group, 2)}
    parked = {(pair.first, pair.second) for pair in duplicates.reviews}
    alone = {(i, j) for i, j in likely if _merges(matcher, prepared[i], prepared[j])}
    right = len(merged & labels)
    precision, recall = right / len(merged), right / len(labels)
    pages = [keys[at : at + PAGE] for at in range(0, len(keys), PAGE)]
    distinct_keys = max(len({key for of_record in page for key in of_record}) for page in pages)
    return {
        "records": len(records),
        "labels": len(labels),
        "pairs": len(likely),
        "blocking_recall": len(likely & labels) / len(labels),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
        "pair_precision": len(alone & labels) / len(alone),
        "pair_recall": len(alone & labels) / len(labels),
        "found": len((merged | parked) & labels) / len(labels),
        "reviews": len(parked),
        "reviews_right": len(parked & labels),
        "pairs_per_s": round(
            _speed(matcher, [(prepared[i], prepared[j]) for i, j in sorted(likely)], repeat_to)
        ),
        "prepared_per_s": round(len(records) / preparing),
        "keys_per_record": sum(map(len, keys)) / len(keys),
        "keys_per_page": distinct_keys,
        "queries_per_page": -(-distinct_keys // KEYS_PER_QUERY),
    }


def _sharing_a_key(keys: Iterable[Sequence[str]]) -> set[Pair]:
    blocks: defaultdict[str, list[int]] = defaultdict(list)
    for position, of_record in enumerate(keys):
        for key in of_record:
            blocks[key].append(position)
    return {pair for block in blocks.values() for pair in combinations(block, 2)}


def _merges(matcher: Matcher, a: Prepared, b: Prepared) -> bool:
    result = matcher.compare(a, b)
    return result is not None and result.decision is Decision.MERGE


def _speed(matcher: Matcher, pairs: Sequence[tuple[Prepared, Prepared]], repeat_to: int) -> float:
    """Pairs per second: every blocked pair compared, in full or until it can't reach a review any more."""
    repeats = max(1, repeat_to // len(pairs))
    fastest = float("inf")
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(repeats):
            for _ in matcher.score_pairs(pairs):
                pass
        fastest = min(fastest, time.process_time() - started)
    return repeats * len(pairs) / fastest


_COLUMNS = {
    "records": "records", "labels": "true pairs", "pairs": "pairs scored", "blocking_recall": "blocking recall",
    "precision": "precision", "recall": "recall", "f1": "F1",
    "pair_precision": "precision, each pair alone", "pair_recall": "recall, each pair alone", "found": "found with reviews", "reviews": "reviews",
    "reviews_right": "of them right", "pairs_per_s": "pairs/s", "prepared_per_s": "records prepared/s",
    "keys_per_record": "keys/record", "keys_per_page": f"keys/page of {PAGE}", "queries_per_page": "queries/page",
}  # fmt: skip


def main() -> None:
    """Print the table, then one line of JSON."""
    results = run()
    table = Table("measure", *results, title="Duplicates: shipped rules for people on FEBRL")
    for key, heading in _COLUMNS.items():
        table.add_row(heading, *(_cell(result[key]) for result in results.values()))
    Console().print(table)
    print(json.dumps({"dedupe": results}))


def _cell(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


if __name__ == "__main__":
    main()
