"""Scores: what a proposer proposed and what the rules let stand, against the right lines.

Exact: the ready lines are the gold lines, codes, units and modifiers. Over-coded: a line stands whose code is not gold, or with
more units. Under-coded: a gold line's code does not stand, or with fewer units. Both pass over modifiers, since other ones may
pay more or less: of the lines whose code is gold, "modifiers exact" counts those with gold's modifiers, as "units exact" its units.
"Before" bills what was proposed, as if there were no rules. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

from guardrails import candidates
from guardrails.codebook import Codebook
from guardrails.evidence import find
from guardrails.visit import Visit
from plugin import pipeline, usage
from plugin.evaluation import benchmark
from plugin.evaluation.benchmark import Fixture
from plugin.proposers.protocol import Answer, Proposer, ProposerError
from plugin.settings import ModelSettings, Payers, Settings
from plugin.site import bundle_records
from plugin.workbench import Result, Site, Understood
from prompts import ProposalRequest

AS_OF = date(2026, 11, 23)
"""The day on which the benchmark is looked at: a visit is no older or newer because of the day of a run."""

AUDITED = {
    "C03": "time",
    "S06": "time",
    "TH01": "time",
    "C08": "signature",
    "C11": "plan",
    "P03": "plan",
    "C22": "plan",
}
"""The failures of the federal audit (domain 0) by the elements that show them; a wrong code is the fourth."""

Line = tuple[str, object, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One visit's run. `failed` says why it was not run; then it counts nowhere else."""

    name: str
    half: str
    gold: tuple[Line, ...]
    proposed: tuple[Line, ...] = ()
    ready: tuple[Line, ...] = ()
    held: bool = False
    quotes: int = 0
    quotes_verified: int = 0
    requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cents: float = 0.0
    seconds: float = 0.0
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, with the 95 % interval of the share."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """The share itself; none of none is none."""
        return self.count / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval."""
        if not self.of:
            return 0.0, 1.0
        z, n, p = 1.959964, self.of, self.share
        middle, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (middle - spread) / (1 + z * z / n)), min(1.0, (middle + spread) / (1 + z * z / n))

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.share:.0%} ({low:.0%}-{high:.0%})"


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How well one code is found."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float | None:
        """Of the lines with the code, how many are right; None where there is none."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        """Of the gold lines with the code, how many are there; None where there is none."""
        return self.right / (self.right + self.missed) if self.right + self.missed else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both."""
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else None


@dataclass(frozen=True, slots=True)
class Measured:
    """One side of a run: before the rules, or after."""

    exact: Share
    over_coded: Share
    under_coded: Share
    units_exact: Share
    modifiers_exact: Share
    all_codes: Retrieval
    codes: dict[str, Retrieval]


@dataclass
class Scoreboard:
    """One proposer on one half of the benchmark."""

    proposer: str
    prompt: str | None
    half: str
    digest: str
    visits: int
    not_run: dict[str, int]
    before: Measured
    after: Measured
    held: Share
    quotes_verified: Share
    audit: dict[str, Share]
    right_stands: Share
    listed: Share
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    cents: float
    median_seconds: float
    slowest_seconds: float
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For `--json`, and to be kept."""
        made: dict[str, Any] = _plain(self)
        return made


def run(
    root: Path,
    half: str,
    proposer_for: Callable[[Fixture], Proposer | None],
    *,
    name: str,
    prompt: str | None,
    book: Codebook,
    only: int | None = None,
    prices: ModelSettings | None = None,
    watch: Callable[[Fixture], None] | None = None,
) -> Scoreboard:
    """Run a proposer over one half. `proposer_for` gives the one to ask about a visit; None: it is not run.

    With `only`, every so-manieth visit is run and the others are counted as not run.
    """
    fixtures = list(benchmark.load(root, half))
    step = max(1, math.ceil(len(fixtures) / only)) if only else 1
    outcomes, right, audit = [], Counter[str](), defaultdict[str, Counter[str]](Counter)
    listed = Share(0, 0)
    for position, fixture in enumerate(fixtures):
        if watch:
            watch(fixture)
        asked = None if position % step else proposer_for(fixture)
        outcomes.append(_outcome(root, fixture, asked, book, prices or ModelSettings()))
        site, understood = understood_of(root, fixture, book)
        _prove_cases(site, understood, fixture, right, audit)
        listed = _listed(understood, fixture, book, listed)
    return _board(
        outcomes,
        name=name,
        prompt=prompt,
        half=half,
        digest=benchmark.digest(root, half),
        right=Share(right["stands"], right["all"]),
        listed=listed,
        audit={kind: Share(counts["caught"], counts["all"]) for kind, counts in sorted(audit.items())},
    )


def site_for(root: Path, fixture: Fixture, proposer: Proposer, book: Codebook) -> Site:
    """A site that reads this one visit and keeps nothing."""
    settings = Settings(ehr=benchmark.ehr("benchmark"))
    record = next(r for r in bundle_records(settings, fixture.bundle()) if r.encounter["id"] == fixture.name)
    return Site(
        settings=settings,
        codebook=book,
        payers=Payers.read(benchmark.payers(root)),
        proposer=proposer,
        read=lambda _: record,
        today=lambda: AS_OF,
    )


def understood_of(root: Path, fixture: Fixture, book: Codebook) -> tuple[Site, Understood]:
    """A visit as the rules see it, and the site to prove on; nobody is asked for proposals."""
    site = site_for(root, fixture, Nobody(), book)
    return site, pipeline.understand(site, site.read(fixture.name))


class Nobody:
    """A proposer for when none is asked."""

    name, host = "nobody", None

    def propose(self, request: ProposalRequest) -> Answer:  # noqa: ARG002 - the protocol's
        """It never is."""
        raise ProposerError("nobody was to be asked")


class _Heard:
    """Passes a question on and keeps what the answer cost."""

    host = None  # the visits are made up: no gate for a host is needed

    def __init__(self, proposer: Proposer) -> None:
        self._proposer, self.name = proposer, proposer.name
        self.answer: Answer | None = None
        self.seconds = 0.0

    def propose(self, request: ProposalRequest) -> Answer:
        """The proposer's own answer."""
        started = time.perf_counter()
        self.answer = self._proposer.propose(request)
        self.seconds = time.perf_counter() - started
        return self.answer


def _outcome(root: Path, fixture: Fixture, proposer: Proposer | None, book: Codebook, prices: ModelSettings) -> Outcome:
    gold = tuple((str(g["code"]), g["units"], tuple(g.get("modifiers", ()))) for g in fixture.gold)
    if proposer is None:
        return Outcome(fixture.name, fixture.half, gold, failed="not run")
    heard = _Heard(proposer)
    try:
        result = pipeline.code_visit(site_for(root, fixture, heard, book), fixture.name)
    except ProposerError as problem:
        return Outcome(fixture.name, fixture.half, gold, failed=type(problem).__name__)
    verdicts = result.verdicts
    quotes = [q for v in verdicts.verdicts for q in v.proposal.quotes]
    cost = heard.answer
    return Outcome(
        name=fixture.name,
        half=fixture.half,
        gold=gold,
        proposed=tuple((v.proposal.code, v.proposal.units, v.proposal.modifiers) for v in verdicts.verdicts),
        ready=tuple((line.code, line.units, line.modifiers) for line in verdicts.lines),
        held=_held(result),
        quotes=len(quotes),
        quotes_verified=sum(_stands(q.text, result.understood.visit) for q in quotes),
        requests=cost.requests if cost else 0,
        input_tokens=cost.input_tokens if cost else 0,
        cached_tokens=cost.cached_tokens if cost else 0,
        output_tokens=cost.output_tokens if cost else 0,
        cents=usage.cents(prices, cost.input_tokens, cost.cached_tokens, cost.output_tokens) if cost else 0.0,
        seconds=heard.seconds,
    )


def _held(result: Result) -> bool:
    verdicts = result.verdicts
    return any(v.outcome.value == "held" for v in verdicts.verdicts) or any(
        f.effect == "hold" for f in verdicts.findings
    )


def _stands(words: str, visit: Visit) -> bool:
    return any(find(note.text, words) is not None for note in visit.notes)


def _prove_cases(
    site: Site, understood: Understood, fixture: Fixture, right: Counter[str], audit: dict[str, Counter[str]]
) -> None:
    """The writers' own proposals: how many right ones stand, and how many of the audit's failures are caught."""
    lacking = {(AUDITED[e], each["code"]) for each in fixture.lacking for e in each["elements"] if e in AUDITED}
    took_place = {each["code"] for each in (*fixture.gold, *fixture.lacking)}
    for case in fixture.cases:
        if not case.proposals:
            continue
        verdicts = pipeline.prove(site, understood, case.proposals).verdicts
        for verdict, expected in zip(verdicts, case.outcomes, strict=True):
            stands = verdict.outcome.value == "ready"
            if case.name == "as documented" and expected["outcome"] == "ready":
                right.update({"all": 1, "stands": int(stands)})
            if case.name == "as documented":
                for kind, code in lacking:
                    if code == verdict.proposal.code:
                        audit[kind].update({"all": 1, "caught": int(not stands)})
            elif expected["outcome"] != "ready" and verdict.proposal.code not in took_place:
                audit["wrong code"].update({"all": 1, "caught": int(not stands)})


def _listed(understood: Understood, fixture: Fixture, book: Codebook, so_far: Share) -> Share:
    """How many gold codes stand on the closed list that a proposer is asked about."""
    found = candidates(understood.visit, understood.readings.values(), book, understood.policy)
    codes = {code.code for code in found}
    return Share(so_far.count + sum(g["code"] in codes for g in fixture.gold), so_far.of + len(fixture.gold))


def _board(outcomes: Sequence[Outcome], **about: Any) -> Scoreboard:
    ran = [o for o in outcomes if o.failed is None]
    seconds = [o.seconds for o in ran] or [0.0]
    return Scoreboard(
        proposer=about["name"],
        prompt=about["prompt"],
        half=about["half"],
        digest=about["digest"],
        visits=len(ran),
        not_run=dict(Counter(o.failed for o in outcomes if o.failed)),
        before=_measured([(o.proposed, o.gold) for o in ran]),
        after=_measured([(o.ready, o.gold) for o in ran]),
        held=Share(sum(o.held for o in ran), len(ran)),
        quotes_verified=Share(sum(o.quotes_verified for o in ran), sum(o.quotes for o in ran)),
        audit=about["audit"],
        right_stands=about["right"],
        listed=about["listed"],
        requests=sum(o.requests for o in ran),
        input_tokens=sum(o.input_tokens for o in ran),
        cached_tokens=sum(o.cached_tokens for o in ran),
        output_tokens=sum(o.output_tokens for o in ran),
        cents=sum(o.cents for o in ran),
        median_seconds=median(seconds),
        slowest_seconds=max(seconds),
        wrong=[o.name for o in ran if Counter(o.ready) != Counter(o.gold)],
    )


def _measured(pairs: Sequence[tuple[Sequence[Line], Sequence[Line]]]) -> Measured:
    codes: dict[str, Counter[str]] = defaultdict(Counter)
    same = units = modifiers = 0
    for lines, gold in pairs:
        have, want = Counter(code for code, _, _ in lines), Counter(code for code, _, _ in gold)
        for code in have | want:
            codes[code].update(
                right=min(have[code], want[code]),
                wrong=max(0, have[code] - want[code]),
                missed=max(0, want[code] - have[code]),
            )
        wanted = {code: (units_, modifiers_) for code, units_, modifiers_ in gold}
        for code, said, marked in lines:
            if code in wanted:
                same += 1
                units += said == wanted[code][0]
                modifiers += marked == wanted[code][1]
    found = {code: Retrieval(c["right"], c["wrong"], c["missed"]) for code, c in sorted(codes.items())}
    n = len(pairs)
    return Measured(
        exact=Share(sum(Counter(lines) == Counter(gold) for lines, gold in pairs), n),
        over_coded=Share(sum(over(lines, gold) for lines, gold in pairs), n),
        under_coded=Share(sum(over(gold, lines) for lines, gold in pairs), n),
        units_exact=Share(units, same),
        modifiers_exact=Share(modifiers, same),
        all_codes=Retrieval(
            sum(r.right for r in found.values()),
            sum(r.wrong for r in found.values()),
            sum(r.missed for r in found.values()),
        ),
        codes=found,
    )


def over(lines: Iterable[Line], gold: Iterable[Line]) -> bool:
    """Whether something stands that is beyond what is right: a further line, or more units of a code, whatever its modifiers.

    Units that are no number are beyond any.
    """
    allowed: dict[str, list[float]] = defaultdict(list)
    for code, units, _ in gold:
        allowed[code].append(units if isinstance(units, (int, float)) else 0)
    for code, units, _ in lines:
        value = units if isinstance(units, (int, float)) else math.inf
        fitting = [u for u in allowed[code] if u >= value]
        if not fitting:
            return True
        allowed[code].remove(min(fitting))
    return False


def _plain(value: Any) -> Any:
    if isinstance(value, Share):
        return {"count": value.count, "of": value.of, "share": round(value.share, 4)} | {
            "interval": [round(edge, 4) for edge in value.interval]
        }
    if isinstance(value, Retrieval):
        return asdict(value) | {"precision": value.precision, "recall": value.recall, "f1": value.f1}
    if isinstance(value, (Measured, Scoreboard)):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value
