"""DeduplicationService: where a new record belongs, asked by blocking keys, a bounded number of queries per page."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from castiel.domain.connections import Connection
from castiel.domain.conversion import ConversionSchema
from castiel.domain.hashing import content_hash
from castiel.domain.matching import (
    Decision,
    Matcher,
    MatchFunction,
    MatchResult,
    MatchRules,
    blocking_keys,
    default_rules,
    match_page,
    parse_rules,
)
from castiel.domain.shards import Shard
from castiel.errors import ConfigurationError
from castiel.ports.short_memory import Claims
from castiel.ports.stores import KeyHit, ShardStore
from castiel.services.conversion import ConversionSchemaService

KEYS_PER_QUERY = 300
HITS_PER_QUERY = 1000
HOT = 50
"""A key that more shards share says little; it is passed over when it would crowd out the others."""
CANDIDATES_PER_RECORD = 10
CANDIDATES_PER_PAGE = 500
CLAIM_SECONDS = 30.0
"""Longer than it takes from a claim to the write it announces."""


@dataclass(frozen=True, slots=True)
class DuplicateSearch:
    """How one connection's new records of a shard type are matched.

    ``contested``: other connections bring in the same type, so that two workers may meet the same record at once.
    """

    tenant_id: str
    shard_type: str
    matcher: Matcher
    contested: bool


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A record that no shard refers to, the id of the shard it makes if it is nobody's duplicate, and its blocking keys."""

    shard_id: str
    fields: Mapping[str, Any]
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """A possible duplicate: another shard (that of another newcomer, perhaps), and why."""

    other: str
    result: MatchResult


@dataclass(slots=True)
class Placement:
    """Where a newcomer belongs: ``shard_id`` is a stored shard's, another newcomer's or its own.

    ``waits``: somebody else is creating what may be the same; ask again in a moment.
    """

    shard_id: str
    stored: Shard | None = None
    waits: bool = False
    reviews: list[Review] = field(default_factory=list)


class DeduplicationService:
    """Finds the shards that new records are duplicates of. For two workers meeting the same record see docs/adr/0006."""

    def __init__(
        self,
        shards: ShardStore,
        schemas: ConversionSchemaService,
        claims: Claims,
        functions: Mapping[str, MatchFunction],
    ) -> None:
        """``functions``: the custom comparisons that rules may name."""
        self._shards = shards
        self._schemas = schemas
        self._claims = claims
        self._functions = functions
        self._matchers: dict[str, Matcher] = {}

    def matcher(self, schema: ConversionSchema) -> Matcher:
        """By the schema's own rules, or its shard type's. Raises :class:`~castiel.errors.ConfigurationError`."""
        if schema.match_rules is None:
            return self._kept(f"default {schema.shard_type}", lambda: default_rules(schema.shard_type))
        rules = schema.match_rules
        return self._kept(content_hash(rules), lambda: parse_rules(rules))

    def _kept(self, key: str, make: Any) -> Matcher:
        if key not in self._matchers:
            rules: MatchRules = make()
            self._matchers[key] = Matcher(rules, self._functions)
        return self._matchers[key]

    async def key_rules(self, carriers: Sequence[Connection], shard_type: str) -> list[MatchRules]:
        """The rules by which a shard of this type may be looked for: those of all connections that carry it."""
        found: dict[int, MatchRules] = {}
        for connection in carriers:
            for entity in connection.entities:
                if entity.enabled and entity.shard_type == shard_type:
                    try:
                        rules = self.matcher(await self._schemas.schema_for(connection, entity)).rules
                    except ConfigurationError:
                        continue  # that connection's own runs say so; the others go on
                    found[id(rules)] = rules
        return list(found.values()) or [default_rules(shard_type)]

    @staticmethod
    def newcomer(search: DuplicateSearch, shard_id: str, fields: Mapping[str, Any]) -> Newcomer:
        """A record that no shard refers to, with the keys that its duplicates are looked for by."""
        return Newcomer(shard_id, fields, blocking_keys(fields, search.matcher.rules))

    async def place(
        self, search: DuplicateSearch, newcomers: Sequence[Newcomer], *, patient: bool = True
    ) -> list[Placement]:
        """One placement per newcomer. With ``patient`` false nothing waits for anybody."""
        candidates = await self._candidates(search, [newcomer.keys for newcomer in newcomers])
        placements = _match(search.matcher, newcomers, candidates)
        if search.contested and patient:
            await self._wait_for_others(search, newcomers, placements, {c.id for c in candidates})
        return placements

    async def _candidates(self, search: DuplicateSearch, keys: Sequence[Sequence[str]]) -> list[Shard]:
        """The stored shards that share a key with a newcomer, oldest first."""
        wanted = list(dict.fromkeys(key for some in keys for key in some))
        if not wanted:
            return []
        chunks = [wanted[start : start + KEYS_PER_QUERY] for start in range(0, len(wanted), KEYS_PER_QUERY)]
        hits = await asyncio.gather(*(self._hits(search, chunk) for chunk in chunks))
        holders: defaultdict[str, list[str]] = defaultdict(list)
        for hit in (hit for some in hits for hit in some):
            holders[hit.key].append(hit.shard_id)
        chosen: Counter[str] = Counter()
        for some in keys:
            shared = Counter(shard_id for key in some for shard_id in holders.get(key, ()))
            for shard_id, count in shared.most_common(CANDIDATES_PER_RECORD):
                chosen[shard_id] = max(chosen[shard_id], count)
        ids = [shard_id for shard_id, _ in chosen.most_common(CANDIDATES_PER_PAGE)]
        found = await self._shards.get_many(search.tenant_id, ids) if ids else []
        live = [shard for shard in found if not shard.deleted]
        return sorted(live, key=lambda shard: (shard.created_at, shard.id))

    async def _hits(self, search: DuplicateSearch, keys: Sequence[str]) -> Sequence[KeyHit]:
        look = self._shards.by_blocking_keys
        hits = await look(search.tenant_id, search.shard_type, keys, HITS_PER_QUERY)
        if len(hits) < HITS_PER_QUERY:
            return hits
        count = Counter(hit.key for hit in hits)
        selective = [key for key in keys if count[key] <= HOT]
        if not selective or len(selective) == len(keys):
            return hits
        return await look(search.tenant_id, search.shard_type, selective, HITS_PER_QUERY)

    async def _wait_for_others(
        self,
        search: DuplicateSearch,
        newcomers: Sequence[Newcomer],
        placements: Sequence[Placement],
        compared: set[str],
    ) -> None:
        """Announce what is about to be created; whoever shares a key with an earlier announcement waits for it."""
        creating = {
            newcomer.shard_id: newcomer.keys
            for newcomer, placement in zip(newcomers, placements, strict=True)
            if placement.shard_id == newcomer.shard_id and newcomer.keys
        }
        if not creating:
            return
        scope = f"{search.tenant_id}:{search.shard_type}"
        others = await self._claims.claim(scope, creating, seconds=CLAIM_SECONDS)
        waiting = {shard_id for shard_id, ahead in others.items() if ahead - compared}
        for placement in placements:
            # Followers wait with the newcomer that they belong to.
            placement.waits = placement.shard_id in waiting


def _match(matcher: Matcher, newcomers: Sequence[Newcomer], candidates: Sequence[Shard]) -> list[Placement]:
    placements = [Placement(newcomer.shard_id) for newcomer in newcomers]
    keys = [newcomer.keys for newcomer in newcomers]
    # Who shares no key with anybody is nobody's duplicate: most records of a first load.
    sharing = Counter(key for some in keys for key in some)
    for candidate in candidates:
        sharing.update(candidate.blocking_keys)
    likely = [position for position, some in enumerate(keys) if any(sharing[key] > 1 for key in some)]
    decisions = match_page(
        [newcomers[position].fields for position in likely],
        [candidate.fields for candidate in candidates],
        matcher,
        ([keys[position] for position in likely], [candidate.blocking_keys for candidate in candidates]),
    )
    for position, decision in zip(likely, decisions, strict=True):
        placement = placements[position]
        if decision.decision is Decision.MERGE:
            if decision.candidate is not None:
                placement.stored = candidates[decision.candidate]
                placement.shard_id = placement.stored.id
            elif decision.leader is not None:
                placement.shard_id = newcomers[likely[decision.leader]].shard_id
        for possible in decision.reviews:
            if possible.candidate is not None:
                other = candidates[possible.candidate].id
            else:
                other = newcomers[likely[possible.page_record or 0]].shard_id
            placement.reviews.append(Review(other, possible.result))
    return placements
