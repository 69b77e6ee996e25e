"""What asking a model takes, and how good its proposals turned out: limits before, a record after, a report for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import prompts
from guardrails.visit import Visit
from plugin.proposers.protocol import Answer, OverLimit, Proposer, ProposerError, Spent
from plugin.settings import ModelSettings, Settings
from plugin.snapshot import Snapshot
from plugin.store.records import Draft, ModelRequest
from plugin.store.store import Store
from prompts import ProposalRequest


class Meter:
    """Stands between the pipeline and a model for one visit."""

    def __init__(self, store: Store, settings: Settings, visit: Visit, taken: Snapshot) -> None:
        self._store, self._settings, self._visit, self._taken = store, settings, visit, taken

    def allow(self) -> None:
        """Say no once a limit is reached, before anything leaves.

        Raises:
            OverLimit: too many requests of this visit today, of the last hour or of the last day.
        """
        limits, now, day = self._settings.limits, datetime.now(UTC), timedelta(days=1)
        this = (self._visit.ehr_id, self._visit.id)
        for what, encounter, most, window in (
            ("this visit's requests of a day", this, limits.model_requests_per_visit, day),
            ("requests of an hour", None, limits.model_requests_per_hour, timedelta(hours=1)),
            ("requests of a day", None, limits.model_requests_per_day, day),
        ):
            made, first = self._store.requests_since(now - window, encounter)
            if made >= most:
                free = (first + window).strftime("%Y-%m-%d %H:%M UTC") if first else "the limit is raised"
                raise OverLimit(
                    f"Encounter/{self._visit.id}: the limit on {what} to the model ({most}) is reached; it waits until {free}"
                )

    def asked(self, proposer: Proposer, request: ProposalRequest) -> Answer:
        """Ask, and write down what it took, also where it failed.

        Raises:
            ProposerError: as the proposer says.
        """
        started = datetime.now(UTC)
        try:
            answer = proposer.propose(request)
        except ProposerError as problem:
            seconds = (datetime.now(UTC) - started).total_seconds()
            self._note(proposer, replace(problem.spent or Spent(requests=1), seconds=seconds), type(problem).__name__)
            raise
        self._note(proposer, answer, None)
        return answer

    def _note(self, proposer: Proposer, spent: Spent, failed: str | None) -> None:
        given, cached, said = spent.input_tokens, spent.cached_tokens, spent.output_tokens
        self._store.asked_model(
            ModelRequest(
                ehr_id=self._visit.ehr_id,
                encounter_id=self._visit.id,
                snapshot_key=self._taken.key,
                model=proposer.name,
                prompt=prompts.version(),
                at=datetime.now(UTC),
                requests=spent.requests if failed else max(1, spent.requests),
                input_tokens=given,
                cached_tokens=cached,
                output_tokens=said,
                seconds=spent.seconds,
                cents=cents(self._settings.model, given, cached, said),
                failed=failed,
            )
        )


def cents(model: ModelSettings, given: int, cached: int, said: int) -> float:
    """What tokens cost, in cents, by the prices set; cached ones are part of those given."""
    return (
        (given - cached) * model.cents_per_million_input
        + cached * model.cents_per_million_cached
        + said * model.cents_per_million_output
    ) / 1e6


@dataclass
class Asked:
    """What one model with one prompt took."""

    visits: int = 0
    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cents: float = 0.0
    median_seconds: float = 0.0
    slowest_seconds: float = 0.0


@dataclass
class Fared:
    """What became of one code's proposals: by the rules, then by people."""

    proposed: int = 0
    ready: int = 0
    held: int = 0
    rejected_by_rules: int = 0
    accepted: int = 0
    edited: int = 0
    set_aside: int = 0
    added_by_people: int = 0

    @property
    def decided(self) -> int:
        """How many a person decided on."""
        return self.accepted + self.edited + self.set_aside

    @property
    def wrong(self) -> float:
        """The share of decided ones that people changed or set aside, and of lines that they had to add."""
        total = self.decided + self.added_by_people
        return (self.edited + self.set_aside + self.added_by_people) / total if total else 0.0


@dataclass
class Statistics:
    """Everything `claimwright stats` shows. Keys are (model, prompt) and (model, prompt, code)."""

    asked: dict[tuple[str, str], Asked] = field(default_factory=dict)
    fared: dict[tuple[str, str, str], Fared] = field(default_factory=dict)

    def worst(self, most: int = 5) -> list[tuple[tuple[str, str, str], Fared]]:
        """Where people had to correct the proposer most, worst first."""
        decided = [(k, f) for k, f in self.fared.items() if f.wrong]
        return sorted(decided, key=lambda each: (-each[1].wrong, -each[1].decided, each[0]))[:most]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "asked": [{"model": m, "prompt": p} | asdict(a) for (m, p), a in sorted(self.asked.items())],
            "codes": [
                {"model": m, "prompt": p, "code": c, "wrong": round(f.wrong, 3)} | asdict(f)
                for (m, p, c), f in sorted(self.fared.items())
            ],
        }


def statistics(store: Store) -> Statistics:
    """What asking took, and what the rules and people made of it, by model, prompt and code."""
    drafts = store.drafts()
    return Statistics(_asked(store.model_requests()), _fared(drafts, store))


def _asked(requests: Iterable[ModelRequest]) -> dict[tuple[str, str], Asked]:
    grouped: dict[tuple[str, str], list[ModelRequest]] = defaultdict(list)
    for each in requests:
        grouped[each.model, each.prompt].append(each)
    return {
        key: Asked(
            visits=len({(r.ehr_id, r.encounter_id) for r in made}),
            requests=sum(r.requests for r in made),
            failed=sum(r.failed is not None for r in made),
            input_tokens=sum(r.input_tokens for r in made),
            cached_tokens=sum(r.cached_tokens for r in made),
            output_tokens=sum(r.output_tokens for r in made),
            cents=sum(r.cents for r in made),
            median_seconds=median(r.seconds for r in made),
            slowest_seconds=max(r.seconds for r in made),
        )
        for key, made in grouped.items()
    }


def _fared(drafts: Iterable[Draft], store: Store) -> dict[tuple[str, str, str], Fared]:
    fared: dict[tuple[str, str, str], Fared] = defaultdict(Fared)
    for draft in drafts:
        manifest = store.manifest(draft.snapshot_key)
        made_by = str(manifest.get("proposer")), str(manifest.get("prompt"))
        for verdict in draft.verdicts.get("verdicts", ()):
            one = fared[*made_by, str(verdict["proposal"]["code"])]
            if verdict.get("by"):
                one.added_by_people += not verdict.get("replaces")
                continue
            one.proposed += 1
            one.ready += verdict["outcome"] == "ready"
            one.held += verdict["outcome"] == "held"
            one.rejected_by_rules += verdict["outcome"] == "rejected"
            one.accepted += verdict.get("fate") == "accepted"
        for aside in draft.verdicts.get("set_aside", ()):
            if aside.get("by"):
                continue
            one = fared[*made_by, str(aside["proposal"]["code"])]
            one.proposed += 1
            one.edited += aside["fate"] == "replaced"
            one.set_aside += aside["fate"] == "rejected"
    return dict(fared)
