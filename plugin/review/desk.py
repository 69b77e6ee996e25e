"""A person before a visit's lines: every decision is proved by the rules before it counts, and kept with who, when and why.

Each line has a key: `p0`, `p1`, ... for the proposer's, `d2` for one that the second decision asked for. What a person sets aside or
replaces is kept and shown; what they ask for is a proposal like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from fhir_mappings import claims
from fhir_mappings.views import Json
from guardrails import Finding, Outcome, Proposal, Quoted, Verdict, Verdicts
from guardrails.codebook import normalize
from guardrails.evidence import find
from guardrails.visit import NoteSet
from plugin import drafts, pipeline, verdict_json
from plugin.destinations.ehr import NAME as EHR
from plugin.proposers.baseline import passages
from plugin.review.states import DECIDED, State
from plugin.settings import AcceptBy, WriteWhen
from plugin.snapshot import Snapshot
from plugin.store.people import Account, Role
from plugin.store.records import Decision, Draft, Outlook
from plugin.store.store import Store
from plugin.workbench import Site, Understood
from prompts import SentNote


class Action(StrEnum):
    """What a person can do."""

    ACCEPT = "accept"
    REJECT = "reject"
    EDIT = "edit"
    ADD = "add"
    BILL = "bill as proposed"
    NOT_BILLABLE = "not billable"
    REOPEN = "reopen"
    CORRECT = "correct"
    APPROVE = "approve"
    TAKE_BACK = "take back"
    SEND_BACK = "send back"
    HOLD = "hold"
    QUERY = "query"
    ANSWER = "answer"
    CARD_OVERRIDDEN = "card overridden"
    CARD_ACCEPTED = "card accepted"


REASONS: dict[Action, dict[str, str]] = {
    Action.REJECT: {
        "not-given": "This service was not given",
        "another-service": "It was another service",
        "billed-elsewhere": "It is billed elsewhere",
        "not-billed-here": "We do not bill this",
        "other": "Another reason",
    },
    Action.EDIT: {
        "miscounted": "The units were counted wrongly",
        "another-service": "It was another service",
        "modifier": "A modifier was wrong or missing",
        "diagnosis": "The diagnoses were wrong",
        "other": "Another reason",
    },
    Action.ADD: {"missed": "This service was given too", "other": "Another reason"},
    Action.NOT_BILLABLE: {
        "no-service": "No service was given",
        "not-covered": "The payer does not cover it",
        "client-pays": "The client pays",
        "grant": "It is paid by a grant or programme",
        "other": "Another reason",
    },
    Action.REOPEN: {"changed": "The record changed", "mistake": "It was decided by mistake"},
    Action.SEND_BACK: {
        "documentation": "The note lacks something",
        "not-accepted": "A line waits for the clinician's word",
        "another-service": "The note describes another service",
        "other": "Another reason",
    },
    Action.HOLD: {
        "authorization": "Waits for an authorization",
        "coverage": "Waits for the coverage to be settled",
        "supervisor": "Waits for a supervisor",
        "other": "Another reason",
    },
}
REASONS[Action.CORRECT] = REASONS[Action.EDIT]
"""Why, in a closed list that can be counted; a person may add words of their own."""


class NotDecided(Exception):
    """A decision that does not count. The message says why; `findings` what the rules say against it."""

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class Fate(StrEnum):
    """What became of a line that somebody asked for."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Ask:
    """A line somebody asks for. `by` is the account that did; None is the proposer. `replaces` is the key of the line it changed."""

    key: str
    proposal: Proposal
    by: str | None = None
    fate: Fate = Fate.OPEN
    reason: str | None = None
    replaces: str | None = None

    @property
    def live(self) -> bool:
        """Whether it is still asked for."""
        return self.fate in (Fate.OPEN, Fate.ACCEPTED)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person typed for a line. `words` are passages of the note that they say show it."""

    code: str
    units: object
    modifiers: tuple[str, ...] = ()
    diagnoses: tuple[str, ...] = ()
    words: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Sitting:
    """A draft with the record it was made from, and everything asked for so far."""

    site: Site
    store: Store
    understood: Understood
    taken: Snapshot
    draft: Draft
    asks: tuple[Ask, ...]
    decisions: tuple[Decision, ...]

    def verdicts(self, asks: Iterable[Ask] | None = None) -> list[tuple[Ask, Verdict]]:
        """The live lines with what the rules say of them, all together."""
        live, proved = self._prove(self.asks if asks is None else asks)
        return list(zip(live, proved.verdicts, strict=True))

    def _prove(self, asks: Iterable[Ask]) -> tuple[list[Ask], Verdicts]:
        live = [a for a in asks if a.live]
        return live, pipeline.prove(self.site, self.understood, tuple(a.proposal for a in live))

    # --- what a person does ---

    def accept(self, account: Account, keys: Sequence[str] | None = None) -> Draft:
        """Accept lines that stand; all of them without `keys` (bill as proposed).

        Raises:
            NotDecided: a line is not ready, or there is none.
            Overtaken: somebody else was faster.
        """
        self._may(account)
        may_decide_as_clinician(account, self.site, self.understood)
        standing = {a.key for a, v in self.verdicts() if v.outcome is Outcome.READY and v.line is not None}
        chosen = sorted(standing) if keys is None else list(keys)
        if not chosen or not set(chosen) <= standing:
            raise NotDecided("Only a line that stands can be accepted.")
        action = Action.BILL if keys is None else Action.ACCEPT
        return self._decide(account, action, lines=tuple(chosen))

    def reject(self, account: Account, key: str, reason: str, comment: str = "") -> Draft:
        """Set a line aside, with a reason. It is kept and shown."""
        self._may(account)
        if not any(a.key == key and a.live for a in self.asks):
            raise NotDecided("That line is not asked for any more.")
        return self._decide(account, Action.REJECT, lines=(key,), reason=reason, comment=comment)

    def edit(self, account: Account, key: str, wish: Wish, reason: str, comment: str = "") -> Draft:
        """Replace a line by another that the rules let stand. Its evidence is the line's own, with the words added.

        Where a coder corrects a line that the clinician accepted, it stays accepted; who corrected it, and why, is kept.
        """
        self._may(account)
        old = next((a for a in self.asks if a.key == key and a.live), None)
        if old is None:
            raise NotDecided("That line is not asked for any more.")
        usable = tuple(q for q in old.proposal.quotes if self._stands(q))
        proposal = self._wished(wish, usable)
        action = Action.CORRECT if self._in_review(account) else Action.EDIT
        return self._put(account, action, proposal, reason, comment, replaces=key)

    def add(self, account: Account, wish: Wish, reason: str, comment: str = "") -> Draft:
        """Ask for a further line. Its evidence are the passages that our detector finds for it, and the person's own."""
        self._may(account)
        return self._put(account, Action.ADD, self._wished(wish, self._passages(wish.code)), reason, comment)

    def not_billable(self, account: Account, reason: str, comment: str = "") -> Draft:
        """The whole visit is not to be billed. What was written is withdrawn."""
        self._may(account)
        return self._decide(account, Action.NOT_BILLABLE, reason=reason, comment=comment)

    def reopen(self, account: Account, reason: str) -> Draft:
        """Take a decision on the visit back; its lines wait for a person again."""
        self._may(account, decided=True)
        may_decide_as_clinician(account, self.site, self.understood)
        return self._decide(account, Action.REOPEN, reason=reason)

    def approve(self, account: Account, *, held_too: bool = False) -> Draft:
        """A coder's word that this goes out. `held_too`: although lines of the visit are still held.

        Raises:
            NotDecided: not theirs to approve, a line that no clinician accepted, held lines without `held_too`.
        """
        if not account.may(Role.CODER, Role.SUPERVISOR):
            raise NotDecided("Only a coder can approve.")
        if self.draft.state is not State.IN_REVIEW:
            raise NotDecided("Only a visit in review can be approved.")
        proved = self.verdicts()
        standing = [a for a, v in proved if v.outcome is Outcome.READY and v.line is not None]
        if not standing:
            raise NotDecided("No line stands that could be approved.")
        if len(standing) < len(proved) and not held_too:
            raise NotDecided("Lines of this visit are held; approve the others alone only on purpose.")
        if not self.site.settings.review.approve_unaccepted and any(a.fate is not Fate.ACCEPTED for a in standing):
            raise NotDecided("A line was not accepted by a clinician; send the visit back.")
        return self._decide(account, Action.APPROVE)

    def send_back(self, account: Account, reason: str, comment: str = "") -> Draft:
        """Give the visit back to the clinician; their acceptance no longer counts."""
        if not self._in_review(account):
            raise NotDecided("Only a visit in review can be sent back.")
        return self._decide(account, Action.SEND_BACK, reason=reason, comment=comment)

    # --- how ---

    def _in_review(self, account: Account) -> bool:
        """Whether this is a coder at work on what the clinician has done with."""
        return self.draft.state is State.IN_REVIEW and account.may(Role.CODER, Role.SUPERVISOR)

    def _may(self, account: Account, *, decided: bool = False) -> None:
        """Who may, and whether there is something to decide."""
        if self._in_review(account) and not decided:
            return
        if not account.may(Role.CODER) or account.may(Role.CLINICIAN, Role.SUPERVISOR):
            may_decide_as_clinician(account, self.site, self.understood)
        if self.draft.decided is not decided:
            raise NotDecided("This visit is decided already." if self.draft.decided else "This visit is not decided.")

    def _wished(self, wish: Wish, quotes: tuple[Quoted, ...]) -> Proposal:
        own = tuple(Quoted(words) for words in wish.words if words.strip())
        kept = own + tuple(q for q in quotes if q not in own)
        return Proposal(
            code=normalize(wish.code),
            units=wish.units,
            modifiers=tuple(m.upper() for m in wish.modifiers),
            quotes=kept,
            diagnoses=wish.diagnoses,
        )

    def _passages(self, code: str) -> tuple[Quoted, ...]:
        visit = self.understood.visit
        entry = self.site.codebook.find(normalize(code), visit.date_of_service) if visit.date_of_service else None
        if entry is None:
            return ()
        readings = [
            (SentNote(n.id, n.text), self.understood.readings[n.id])
            for n in visit.notes.evidence
            if n.id in self.understood.readings
        ]
        found = passages(entry, readings, self.site.codebook)
        return tuple(Quoted(q.text, None if q.element == "time" else q.element, q.note) for q in found if q.text)

    def _stands(self, quote: Quoted) -> bool:
        return _placed(quote, self.understood.visit.notes) is not None

    def _put(
        self,
        account: Account,
        action: Action,
        proposal: Proposal,
        reason: str,
        comment: str,
        replaces: str | None = None,
    ) -> Draft:
        """Keep a line that a person asks for, if the rules let it stand among the others."""
        asks = (*_replaced(self.asks, replaces, reason), Ask("new", proposal))
        verdict = next(v for a, v in self.verdicts(asks) if a.key == "new")
        if verdict.outcome is not Outcome.READY or verdict.line is None:
            raise NotDecided("The rules do not let this line stand.", verdict.findings)
        notes = self.understood.visit.notes
        placed = [(q, _placed(q, notes)) for q in proposal.quotes]
        asked = verdict_json.proposal_json(proposal) | {
            "key": f"d{len(self.decisions) + 1}",
            "replaces": replaces,
            "quotes": [
                {"note": where[0], "start": where[1], "end": where[2], "element": q.element}
                for q, where in placed
                if where is not None
            ],
        }
        return self._decide(
            account, action, lines=(replaces,) if replaces else (), proposal=asked, reason=reason, comment=comment
        )

    def _decide(
        self,
        account: Account,
        action: Action,
        *,
        lines: tuple[str, ...] = (),
        proposal: Json | None = None,
        reason: str | None = None,
        comment: str = "",
    ) -> Draft:
        if action in REASONS and reason not in REASONS[action]:
            raise NotDecided("Choose a reason from the list.")
        decision = Decision(
            draft_id=self.draft.id,
            snapshot_key=self.taken.key,
            revision=self.draft.revision,
            account_id=account.id,
            person=account.person,
            action=action.value,
            lines=lines,
            proposal=proposal,
            reason=reason,
            comment=comment.strip()[:2000] or None,
            at=datetime.now(UTC),
        )
        after = asks_after(self.asks, (decision,), self.understood.visit.notes)
        outlook = self._outlook(after, action)
        at_the_queue = self._in_review(account) or (account.may(Role.CODER) and not account.may(Role.CLINICIAN))
        return self.store.decide(self.draft, decision, outlook, self._destinations(outlook), owner=at_the_queue)

    def _outlook(self, asks: Sequence[Ask], action: Action) -> Outlook:
        billable = action is not Action.NOT_BILLABLE
        live, proved = self._prove(asks)
        standing = [a for a, v in zip(live, proved.verdicts, strict=True) if v.outcome is Outcome.READY and v.line]
        accepted = bool(standing) and all(a.fate is Fate.ACCEPTED for a in standing)
        claim, before = None, self.draft.claim
        if standing and billable:
            created = datetime.fromisoformat(before["created"]) if before else datetime.now(UTC)
            claim = claims.draft_claim(
                self.understood.visit,
                proved.lines,
                created=created,
                incomplete=proved.incomplete,
                accepted=accepted,
            )
        elif before is not None:
            claim = claims.withdrawn(before)
        if not billable:
            state = State.NOT_BILLABLE
        elif action is Action.APPROVE:
            state = State.APPROVED
        elif action is Action.SEND_BACK:
            state = State.RETURNED
        elif self.draft.state is State.IN_REVIEW and action is not Action.REOPEN and standing:
            state = State.IN_REVIEW
        elif accepted:
            state = State.ACCEPTED
        else:
            state = State.WITHDRAWN if before is not None and not standing else drafts.state_of(proved)
        shown = verdict_json.verdicts_json(proved)
        for entry, ask in zip(shown["verdicts"], live, strict=True):
            entry |= {"key": ask.key, "by": ask.by, "fate": ask.fate.value, "replaces": ask.replaces}
        aside = [
            {"key": a.key, "by": a.by, "fate": a.fate.value, "reason": a.reason}
            | {"proposal": verdict_json.proposal_json(a.proposal)}
            for a in asks
            if not a.live
        ]
        carried = {
            k: self.draft.verdicts[k] for k in ("problems", "policy", "not_looked_up") if k in self.draft.verdicts
        }
        return Outlook(
            state=state,
            incomplete=proved.incomplete and billable,
            claim=claim,
            verdicts=shown | carried | {"set_aside": aside},
        )

    def _destinations(self, outlook: Outlook) -> tuple[str, ...]:
        """Where the draft goes now: once proved, or only once accepted; what stands there already is kept right."""
        when = self.site.settings.ehr.write_when
        there = self.store.remote(self.draft.id, EHR) is not None
        goes = when is WriteWhen.PROVED or outlook.state in DECIDED or there
        return (EHR,) if self.site.destination is not None and goes else ()


def sit(site: Site, store: Store, understood: Understood, taken: Snapshot, draft: Draft) -> Sitting:
    """Put a person before a draft whose record stands as when it was made."""
    decisions = tuple(d for d in store.decisions(draft.id) if d.snapshot_key == taken.key)
    proposed = pipeline.kept_proposals(site, understood, taken)
    first = tuple(Ask(f"p{n}", p) for n, p in enumerate(proposed))
    return Sitting(
        site, store, understood, taken, draft, asks_after(first, decisions, understood.visit.notes), decisions
    )


def reopen_changed(store: Store, draft: Draft, account: Account) -> Draft:
    """Take a decision back because the record changed after it. The visit is then read anew; nothing is sent before that.

    Raises:
        NotDecided: not a clinician or supervisor, or the record did not change.
        Overtaken: somebody else was faster.
    """
    if not account.may(Role.CLINICIAN, Role.CODER, Role.SUPERVISOR):
        raise NotDecided("Only a clinician, a coder or a supervisor can decide this here.")
    if not draft.decided or not draft.changed_since:
        raise NotDecided("The record has not changed since this was decided.")
    decision = Decision(
        draft_id=draft.id,
        snapshot_key=draft.snapshot_key,
        revision=draft.revision,
        account_id=account.id,
        person=account.person,
        action=Action.REOPEN.value,
        reason="changed",
        at=datetime.now(UTC),
    )
    waiting = Outlook(state=State.HELD, incomplete=False, claim=draft.claim, verdicts=draft.verdicts)
    return store.decide(draft, decision, waiting, ())


def may_decide_as_clinician(account: Account, site: Site, understood: Understood) -> None:
    """Whether somebody may decide what a service was: a clinician, or only the note's author, as the site says.

    Raises:
        NotDecided: they may not.
    """
    if not account.may(Role.CLINICIAN, Role.SUPERVISOR):
        raise NotDecided("Only a clinician or a supervisor can decide this here.")
    authors = {f"Practitioner/{n.author.id}" for n in understood.visit.notes if n.author}
    only_author = site.settings.web.accept_by is AcceptBy.AUTHOR
    if only_author and account.person not in authors and not account.may(Role.SUPERVISOR):
        raise NotDecided("Only who wrote the note, or a supervisor, can decide this here.")


def asks_after(asks: tuple[Ask, ...], decisions: Iterable[Decision], notes: NoteSet) -> tuple[Ask, ...]:
    """What is asked for after these decisions, in the order they were made."""
    for decision in decisions:
        match decision.action:
            case Action.ACCEPT | Action.BILL:
                asks = tuple(replace(a, fate=Fate.ACCEPTED) if a.key in decision.lines else a for a in asks)
            case Action.REJECT:
                asks = tuple(
                    replace(a, fate=Fate.REJECTED, reason=decision.reason) if a.key in decision.lines else a
                    for a in asks
                )
            case Action.EDIT | Action.ADD | Action.CORRECT if decision.proposal is not None:
                replaces = decision.proposal.get("replaces")
                was = next((a.fate for a in asks if a.key == replaces), Fate.OPEN)
                fate = was if decision.action == Action.CORRECT else Fate.OPEN
                asks = _replaced(asks, replaces, decision.reason)
                kept = _proposal(decision.proposal, notes)
                asks += (Ask(decision.proposal["key"], kept, by=decision.account_id, fate=fate, replaces=replaces),)
            case Action.REOPEN | Action.SEND_BACK:
                asks = tuple(replace(a, fate=Fate.OPEN) if a.fate is Fate.ACCEPTED else a for a in asks)
    return asks


def _replaced(asks: tuple[Ask, ...], key: str | None, reason: str | None) -> tuple[Ask, ...]:
    return tuple(replace(a, fate=Fate.REPLACED, reason=reason) if a.key == key else a for a in asks)


def _proposal(kept: Json, notes: NoteSet) -> Proposal:
    """What a decision asked for, its quotes read out of the notes again."""
    quotes = []
    for each in kept["quotes"]:
        note = notes.get(each["note"])
        if note is not None:
            quotes.append(Quoted(note.text[each["start"] : each["end"]], each["element"], note.id))
    return Proposal(
        code=kept["code"],
        units=kept["units"],
        modifiers=tuple(kept["modifiers"]),
        quotes=tuple(quotes),
        diagnoses=tuple(kept["diagnoses"]),
    )


def _placed(quote: Quoted, notes: NoteSet) -> tuple[str, int, int] | None:
    for note in notes:
        span = find(note.text, quote.text) if quote.note_id in (None, note.id) else None
        if span:
            return note.id, *span
    return None
