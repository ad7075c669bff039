"""Match rules: what makes two records of one type the same record. JSON, part of a connection's settings."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from castiel.domain.matching.normalisers import NORMALISERS, PHONETIC
from castiel.domain.matching.similarities import SIMILARITIES
from castiel.domain.model import Model
from castiel.errors import ConfigurationError


class Strategy(StrEnum):
    """The four ways to compare a field."""

    EXACT = "exact"
    FUZZY = "fuzzy"
    PHONETIC = "phonetic"
    CUSTOM = "custom"


class Scoring(StrEnum):
    """How a pair's fields become one score.

    ``mean``: the weighted mean of the similarities of the fields that both records have.
    ``evidence``: Fellegi and Sunter's sum, in bits, of what each field says for or against, as a probability.
    """

    MEAN = "mean"
    EVIDENCE = "evidence"


class MergePolicy(StrEnum):
    """Which values a merged record gets."""

    KEEP_FIRST = "keep_first"
    KEEP_LAST = "keep_last"
    KEEP_MOST_COMPLETE = "keep_most_complete"
    MERGE_FIELDS = "merge_fields"


class Missing(StrEnum):
    """What it means that one record of a pair lacks the field."""

    NEUTRAL = "neutral"
    DISAGREE = "disagree"


class Combine(StrEnum):
    """How several fields, or a list's items, are taken together.

    ``any``: each is a value of its own, and the closest two count. ``join``: one value, in order.
    """

    ANY = "any"
    JOIN = "join"


def known(name: str, names: Mapping[str, object], what: str) -> str:
    """``name``, if it is among ``names``; else a ValueError that lists them."""
    if name not in names:
        raise ValueError(f"unknown {what} '{name}'; known: {', '.join(sorted(names)) or 'none'}")
    return name


def _check_path(path: str) -> str:
    try:
        jmespath.compile(path)
    except JMESPathError:
        raise ValueError(f"'{path}' is not a field name or JMESPath expression") from None
    return path


FieldPath = Annotated[str, Field(min_length=1), AfterValidator(_check_path)]
NormaliserName = Annotated[str, AfterValidator(lambda name: known(name, NORMALISERS, "normaliser"))]


class RuleModel(Model):
    """Rules take no unknown fields: a misspelt one would silently match nothing."""

    model_config = ConfigDict(extra="forbid")


class FieldRule(RuleModel):
    """How one field (or several that mean the same) is compared, and how much it counts.

    ``weight`` is what full agreement counts (``evidence``: bits). ``penalty`` is what disagreement takes away,
    in ``evidence`` only. Similarities up to ``floor`` are disagreement.
    """

    name: str = ""
    fields: list[FieldPath] = Field(min_length=1)
    strategy: Strategy = Strategy.EXACT
    similarity: str | None = None
    normalisers: list[NormaliserName] = Field(default_factory=lambda: ["text"])
    combine: Combine = Combine.ANY
    weight: float = Field(default=1.0, gt=0, le=100)
    penalty: float = Field(default=0.0, ge=0, le=100)
    floor: float = Field(default=0.0, ge=0, lt=1)
    missing: Missing = Missing.NEUTRAL

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.name = self.name or self.fields[0]
        match self.strategy:
            case Strategy.EXACT:
                self.similarity = "equal"
            case Strategy.FUZZY:
                self.similarity = known(self.similarity or "jaroWinkler", SIMILARITIES, "similarity")
            case Strategy.PHONETIC:
                codes = {name: name for name in PHONETIC}
                self.similarity = known(self.similarity or "metaphone", codes, "sound code")
            case Strategy.CUSTOM if not self.similarity:
                raise ValueError(f"the custom rule '{self.name}' names no function: set 'similarity' to one")
        return self


class DerivedField(RuleModel):
    """A field read out of another where a record lacks it (a surname out of a whole name)."""

    field: str = Field(min_length=1)
    source: FieldPath
    normaliser: NormaliserName


class Swap(RuleModel):
    """Two rules whose values people and programs put into each other's place."""

    rules: tuple[str, str]


class MergeGuard(RuleModel):
    """However high the score: no merge, but a review, while ``rule``'s similarity is below ``below``.

    Unless one of the rules ``unless`` agrees by ``unless_at_least``, or all of ``unless_all`` by
    ``unless_all_at_least``. ``missing`` says whether the guard also holds
    where a record lacks the field. Below ``distinct_below`` not even a review: nobody should have to look at every
    couple. Nor where the guards of two fields hold: then two things speak against it.
    """

    rule: str
    below: float = Field(gt=0, le=1)
    distinct_below: float = Field(default=0.0, ge=0, le=1)
    missing: Missing = Missing.NEUTRAL
    unless: list[str] = Field(default_factory=list)
    unless_at_least: float = Field(default=0.85, gt=0, le=1)
    unless_all: list[str] = Field(default_factory=list)
    unless_all_at_least: float = Field(default=0.95, gt=0, le=1)


class KeyPart(RuleModel):
    """One part of a blocking key: fields, brought to a form by functions one after the other.

    Each value makes a key of its own, unless ``together``: then all fields' values, sorted, make one (so that
    swapped ones make the same), and a record that lacks one of them has no such key.
    """

    fields: list[FieldPath] = Field(min_length=1)
    functions: list[NormaliserName] = Field(min_length=1)
    together: bool = False


class BlockingRule(RuleModel):
    """Records with a common key are compared. A rule must be selective: the look-up of a page reads every
    record that shares a key with it."""

    name: str = Field(pattern=r"^[a-z][a-z0-9]{0,7}$")
    parts: list[KeyPart] = Field(min_length=1)
    max_keys: int = Field(default=1, ge=1, le=4)


class MatchRules(RuleModel):
    """Everything needed to find and merge the duplicates of one shard type."""

    shard_type: str = Field(min_length=1)
    fields: list[FieldRule] = Field(min_length=1, max_length=40)
    derive: list[DerivedField] = Field(default_factory=list)
    swaps: list[Swap] = Field(default_factory=list)
    scoring: Scoring = Scoring.MEAN
    prior: float = Field(default=-10.0, ge=-60, le=0)
    merge_threshold: float = Field(default=0.9, gt=0, le=1)
    review_threshold: float = Field(default=0.75, gt=0, le=1)
    guards: list[MergeGuard] = Field(default_factory=list)
    merge_requires_any: list[str] = Field(default_factory=list)
    merge_requires_at_least: float = Field(default=0.85, gt=0, le=1)
    blocking: list[BlockingRule] = Field(min_length=1, max_length=20)
    max_keys: int = Field(default=12, ge=1, le=24)
    merge_policy: MergePolicy = MergePolicy.MERGE_FIELDS

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.review_threshold > self.merge_threshold:
            raise ValueError(
                "reviewThreshold is above mergeThreshold: the review band lies below the merge threshold"
            )
        if self.scoring is Scoring.EVIDENCE and self.merge_threshold == 1:
            raise ValueError(
                "mergeThreshold: evidence never makes certain; a probability below 1 (0.99) is needed"
            )
        names = {rule.name: rule for rule in self.fields}
        if len(names) < len(self.fields):
            raise ValueError("two field rules have the same name: give one of them another 'name'")
        if len({rule.name for rule in self.blocking}) < len(self.blocking):
            raise ValueError("two blocking rules have the same name: give one of them another 'name'")
        mentioned = [*self.merge_requires_any]
        for guard in self.guards:
            mentioned += [guard.rule, *guard.unless, *guard.unless_all]
        for swap in self.swaps:
            mentioned += swap.rules
        for name in mentioned:
            known(name, names, "field rule")
        self._check_swaps(names)
        return self

    def _check_swaps(self, names: Mapping[str, FieldRule]) -> None:
        swapped = [name for swap in self.swaps for name in swap.rules]
        if len(set(swapped)) < len(swapped):
            raise ValueError("a field rule may be in one swap only, and not be swapped with itself")
        for name in swapped:
            if names[name].strategy is Strategy.CUSTOM:
                raise ValueError(
                    f"the custom rule '{name}' can't be in a swap: its function compares raw values"
                )


def parse_rules(data: object) -> MatchRules:
    """Rules from JSON. ConfigurationError names each wrong field and what would be right; never a value's data."""
    try:
        return MatchRules.model_validate(data)
    except ValidationError as error:
        problems = [f"{_place(p['loc'])}: {p['msg'].removeprefix('Value error, ')}" for p in error.errors()]
        raise ConfigurationError("match rules: " + "; ".join(problems)) from None


def _place(location: tuple[Any, ...]) -> str:
    return ".".join(str(step) for step in location) or "rules"
