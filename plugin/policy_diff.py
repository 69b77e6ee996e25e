"""What a change of policy would do to the visits on file: the same proposals, proved under both (`claimwright policy diff`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from guardrails import Outcome, Verdict, Verdicts, policies
from guardrails.policies import Policy
from plugin import pipeline
from plugin.proposers.protocol import Answer
from plugin.store.store import Store
from plugin.store.vault import VaultError
from plugin.workbench import Site
from prompts import ProposalRequest, Reply


@dataclass(frozen=True, slots=True)
class Change:
    """A proposed line that comes out otherwise: what stands before and after, and the rules that make the difference."""

    encounter_id: str
    proposed: str
    before: str
    after: str
    because: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """All that differs, among how many visits and lines; units are those of lines that stand.

    `problems` are the visits that could not be compared and why, and the site's notices.
    """

    visits: int
    lines: int
    units_before: int
    units_after: int
    changes: tuple[Change, ...]
    problems: tuple[str, ...]


def policy_named(name: str) -> Policy:
    """A packaged policy by name, or a file that ends in `.toml`.

    Raises:
        PolicyError: there is none, or it cannot be used.
    """
    return policies.read(Path(name)) if name.endswith(".toml") else policies.load(name)


def of_drafts(site: Site, first: Policy, second: Policy) -> Compared:
    """The visits that have a draft in our store, read again, with the replies kept for them."""
    store = site.store
    assert store is not None  # ehr_site opens one unless it is a dry run
    on_file = {draft.encounter_id: draft.snapshot_key for draft in store.drafts()}
    dry = replace(site, store=None, destination=None)

    def both(encounter_id: str) -> tuple[Verdicts, Verdicts]:
        kept = _Kept(_kept(store, on_file[encounter_id]), site.proposer.name, site.proposer.host)
        return _under_both(replace(dry, proposer=kept), encounter_id, first, second)

    return _compared(sorted(on_file), both)


def of_visits(site: Site, encounter_ids: Iterable[str], first: Policy, second: Policy) -> Compared:
    """Visits of a Bundle, with what the site's proposer proposes for them."""
    return _compared(encounter_ids, lambda each: _under_both(site, each, first, second))


def _under_both(site: Site, encounter_id: str, first: Policy, second: Policy) -> tuple[Verdicts, Verdicts]:
    result = pipeline.code_visit(replace(site, policy=first), encounter_id)
    proposals = tuple(verdict.proposal for verdict in result.verdicts.verdicts)
    other = pipeline.prove(site, replace(result.understood, policy=second), proposals)
    return result.verdicts, other


def _kept(store: Store, snapshot_key: str) -> Reply:
    sealed = store.unseal(snapshot_key, "reply")
    return Reply.model_validate_json(sealed) if sealed else Reply(lines=[], nothing_because="nothing was kept")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A proposer that says again what is on file."""

    reply: Reply
    name: str
    host: str | None

    def propose(self, request: ProposalRequest) -> Answer:  # noqa: ARG002 - the same answer whatever is asked
        return Answer(reply=self.reply)


def _compared(encounter_ids: Iterable[str], both: Callable[[str], tuple[Verdicts, Verdicts]]) -> Compared:
    found, problems = [], []
    for each in encounter_ids:
        try:
            found.append((each, *both(each)))
        except (*pipeline.EXPECTED, VaultError) as problem:
            problems.append(f"Encounter/{each}: {problem}")
    return Compared(
        visits=len(found),
        lines=sum(len(before.verdicts) for _, before, _ in found),
        units_before=sum(line.units for _, before, _ in found for line in before.lines),
        units_after=sum(line.units for _, _, after in found for line in after.lines),
        changes=tuple(change for each in found for change in _changes(*each)),
        problems=tuple(dict.fromkeys([*problems, *(n for _, _, after in found for n in after.notices)])),
    )


def _changes(encounter_id: str, before: Verdicts, after: Verdicts) -> Iterator[Change]:
    for old, new in zip(before.verdicts, after.verdicts, strict=True):
        if _shown(old) != _shown(new):
            proposal = old.proposal
            mine, theirs = ({f.rule_id: f.message for f in v.findings} for v in (old, new))
            because = [f"now: {message} ({rule})" for rule, message in theirs.items() if rule not in mine]
            because += [f"no longer: {message} ({rule})" for rule, message in mine.items() if rule not in theirs]
            yield Change(encounter_id, f"{proposal.code} x {proposal.units}", _shown(old), _shown(new), tuple(because))


def _shown(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.READY and verdict.line is not None:
        return f"ready: {verdict.line.code} x {verdict.line.units}"
    offered = f", may accept {verdict.fix.code} x {verdict.fix.units}" if verdict.fix else ""
    return f"{verdict.outcome.value}{offered}"
