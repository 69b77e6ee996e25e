"""The one way in: proposals and a record go in, verdicts come out. Pure; same input, same verdicts.

Privacy and document status stop the check. Everything else is evaluated in full, so that people see all findings at
once; then one cross-line pass settles conflicts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from guardrails import (
    caps,
    claim_edits,
    code_validity,
    diagnoses,
    documentation,
    evidence,
    modifiers,
    places,
    prerequisites,
    time_units,
    visit_status,
)
from guardrails.codebook import Code, Codebook, UnitRule, normalize
from guardrails.documented_time import DocumentedTime, Stated, documented_time
from guardrails.examined import Examined
from guardrails.policies import Policy, QuarterHourRule
from guardrails.reading import Reading, read
from guardrails.rules import CuredBy, Effect, rule
from guardrails.time_units import Counted
from guardrails.verdict import (
    Finding,
    Fix,
    Minutes,
    Outcome,
    Proposal,
    Quote,
    ServiceLine,
    SuppliedFact,
    Verdict,
    Verdicts,
    found,
    outcome_of,
)
from guardrails.visit import Context, NoteSet, Visit


def read_notes(visit: Visit, codebook: Codebook) -> dict[str, Reading]:
    """A reading of each note that may be used as evidence, by note id. Hand it to `check` to read a visit once."""
    return {note.id: read(note, codebook, visit.client_names, visit.date_of_service) for note in visit.notes.evidence}


def stopped(visit: Visit, context: Context) -> tuple[Finding, ...]:
    """What stops this visit before any line is looked at. Nobody need be asked for proposals then."""
    return visit_status.privacy(visit, context) or visit_status.status(visit, context)


def check(
    visit: Visit,
    context: Context,
    proposals: Sequence[Proposal],
    facts: Sequence[SuppliedFact],
    codebook: Codebook,
    policy: Policy,
    *,
    readings: dict[str, Reading] | None = None,
) -> Verdicts:
    """Prove each proposal against the record and the rules.

    Args:
        visit: what happened, with its notes.
        context: today's date and what was, or was not, looked up beyond the visit.
        proposals: lines somebody asks for; nothing in them is believed.
        facts: what a coder supplied outside the note; only rules that say "cured by coder" look at them.
        codebook: the code tables.
        policy: the payer's policy on the date of service.
        readings: the notes' readings, where the caller already has them.

    Returns:
        A verdict per proposal in the order given. No line exceeds its proposal or the record.
    """
    stops = stopped(visit, context)
    if stops or visit.date_of_service is None:
        outcome = outcome_of(stops)
        return Verdicts(
            verdicts=tuple(Verdict(proposal=p, outcome=outcome, findings=stops) for p in proposals), findings=stops
        )
    visit, supplied, refused = with_facts(visit, facts, codebook)
    readings = read_notes(visit, codebook) if readings is None else readings
    about_visit = visit_status.attended(visit, context, tuple(readings.values()))
    stopping = tuple(f for f in about_visit if f.effect is not Effect.WARN)
    stated: dict[tuple[str, ...], Stated] = {}
    begun = [_begin(proposal, visit, codebook, policy, readings, stated) for proposal in proposals]
    shares = _shares(begun, policy)
    alone = [_examine(each, shares, visit, context, stopping, codebook, policy, supplied) for each in begun]
    candidates = [
        Examined(position, each.code, each.line, each.findings, _asked(proposals[position]))
        for position, each in enumerate(alone)
        if each.code is not None
    ]
    across = claim_edits.across_lines(candidates, visit, context, codebook, policy)
    verdicts = _verdicts(proposals, alone, across, visit)
    return Verdicts(
        verdicts=verdicts,
        findings=(*about_visit, *refused),
        notices=_notices(verdicts, visit, codebook, policy),
    )


NOT_SUPPLIABLE = rule(
    "FACT-010",
    Effect.WARN,
    "A supplied fact ({element}) was not used: the record already says, or only the note can.",
    authority="design: Cure",
    cured_by=CuredBy.NOTE,
)


UNSURE = rule(
    "ASK-010",
    Effect.HOLD,
    "The proposer is not sure that this service was given; a person decides.",
    authority="design: law 1",
    cured_by=CuredBy.CODER,
)


_VOUCHED = frozenset({"C22", "C23"})  # the plan in force and the authorization, which a coder can look up elsewhere


def with_facts(
    visit: Visit, facts: Sequence[SuppliedFact], codebook: Codebook
) -> tuple[Visit, frozenset[str], tuple[Finding, ...]]:
    """The visit with what a coder supplied: place of service (C04) and credential (C07), where the record is silent.

    With it the elements that the coder vouches for by naming a document: plan (C22) and authorization (C23). Minutes,
    presence, signature and clinical content come from the note only; such a fact is refused with a finding.
    """
    refused = []
    supplied = frozenset(f.element for f in facts if f.element in _VOUCHED and f.value.strip())
    for fact in facts:
        credential = codebook.credential(fact.value)
        if fact.element == "C04" and visit.place_of_service is None and fact.value in codebook.places:
            visit = replace(visit, place_of_service=fact.value)
        elif fact.element == "C07" and credential and visit.rendering and visit.rendering.level is None:
            known = replace(
                visit.rendering,
                level=credential.level,
                physician=credential.physician,
                education_modifier=credential.education_modifier,
            )
            notes = tuple(replace(n, author=known) if n.author and n.author.id == known.id else n for n in visit.notes)
            visit = replace(visit, rendering=known, notes=NoteSet(notes))
        elif fact.element not in supplied:
            refused.append(found(NOT_SUPPLIABLE, element=fact.element))
    return visit, supplied, tuple(refused)


class _Begun(NamedTuple):
    """A proposal with its code and evidence, and the minutes of the record that speak for it; none where its code is not known.

    `minutes` are those that count. Minutes in doubt neither reject a line nor suggest another: the note must settle them.
    """

    proposal: Proposal
    resolved: code_validity.Resolved
    proof: evidence.Evidence = evidence.NOTHING
    spans: tuple[Quote, ...] = ()
    readings: tuple[Reading, ...] = ()
    time: DocumentedTime = DocumentedTime(None, ())
    minutes: Minutes | None = None


class _Alone(NamedTuple):
    """What is found of one proposal by itself, before it meets the others; `code` is None where it names none."""

    code: Code | None
    findings: tuple[Finding, ...]
    line: ServiceLine | None = None
    fix: Fix | None = None


def _begin(
    proposal: Proposal,
    visit: Visit,
    codebook: Codebook,
    policy: Policy,
    readings: dict[str, Reading],
    stated: dict[tuple[str, ...], Stated],
) -> _Begun:
    """`stated` are the times of the notes that proposals before this one rest on, by the notes' ids."""
    on = visit.date_of_service
    assert on is not None  # visit_status.status stops visits without a date
    resolved = code_validity.resolve(proposal, on, codebook, policy)
    if resolved.code is None:
        return _Begun(proposal, resolved)
    proof = evidence.prove(proposal, visit)
    spans = proof.spans
    read_here = tuple([readings[note.id] for note in proof.notes if note.id in readings])
    notes = tuple([reading.note_id for reading in read_here])
    if notes not in stated and not any(reading.crowded for reading in read_here):
        stated[notes] = Stated(visit, read_here, policy)
    time = documented_time(visit, read_here, spans, resolved.code, policy, stated=stated.get(notes))
    doubtful = any(finding.effect is Effect.HOLD for finding in time.findings)
    return _Begun(proposal, resolved, proof, spans, read_here, time, None if doubtful else time.minutes)


def _shares(begun: Sequence[_Begun], policy: Policy) -> dict[tuple[str, str], Counted]:
    """Each code's part of one clinician's quarter hours of the day, where the payer pools them (domain 3.4).

    A proposal that is refused for its code or its quotes lends none.
    """
    pools: dict[str, dict[str, tuple[Code, Minutes]]] = {}
    for each in begun:
        code, minutes, clinician = each.resolved.code, each.minutes, each.proof.clinician
        if code is None or minutes is None or clinician is None or code.unit_rule is not UnitRule.PAYER15:
            continue
        if outcome_of([*each.resolved.findings, *each.proof.findings]) is Outcome.REJECTED:
            continue
        if policy.rule_for(code.code) is QuarterHourRule.POOLED15:
            pool = pools.setdefault(clinician.id, {})
            if code.code not in pool or pool[code.code][1].minutes < minutes.minutes:
                pool[code.code] = (code, minutes)
    return {(who, code): share for who, pool in pools.items() for code, share in time_units.shares(pool).items()}


def _examine(
    begun: _Begun,
    shares: Mapping[tuple[str, str], Counted],
    visit: Visit,
    context: Context,
    about_visit: tuple[Finding, ...],
    codebook: Codebook,
    policy: Policy,
    supplied: Collection[str],
) -> _Alone:
    """One proposal on its own, every family of rules in turn."""
    on = visit.date_of_service
    assert on is not None
    proposal, (code, about_code), proof, spans, read_here, time, minutes = begun
    findings: list[Finding] = [*about_visit, *about_code]
    if code is None:
        return _Alone(None, tuple(findings))

    if proposal.unsure:
        findings.append(found(UNSURE))
    findings += code_validity.payer_takes(code, policy, visit)
    findings += code_validity.eligible(code, proof.clinician, visit, policy)
    findings += proof.findings
    findings += code_validity.documented_service(code, _holding(spans, read_here), codebook)
    findings += code_validity.client_present(code, codebook, read_here, policy)
    if code.service in codebook.requirements:
        findings += documentation.elements(code, proof, read_here, codebook, policy)
    else:
        findings.append(found(code_validity.NO_RULES, code=code.code))
    about_level, lower_level = code_validity.visit_level(code, read_here, codebook, on)
    findings += about_level
    findings += time.findings
    findings += documentation.signed_after(proof.notes, time.minutes)
    findings += documentation.signed_late(proof.notes, visit, policy)
    share = shares.get((proof.clinician.id, code.code)) if proof.clinician else None
    if code.unit_rule is UnitRule.INSTRUMENT:
        share = time_units.instruments(code, {name for r in read_here for name in r.instruments})
    allowed = time_units.allow(code, proposal.units, minutes, policy, codebook, on, share)
    findings += allowed.findings
    marks, about_marks = modifiers.check(code, proposal.modifiers, proof.clinician, read_here, codebook, policy, visit)
    findings += about_marks
    findings += caps.of_proposal(code, proposal.units, marks, visit, codebook, policy)
    findings += modifiers.times_apart(marks, time.minutes, codebook)
    findings += places.check(code, marks, read_here, visit, codebook, policy)
    findings += code_validity.group_size(code, marks, read_here, visit, policy)
    pointers, about_pointers = diagnoses.check(code, proposal.diagnoses, visit, codebook, policy, read_here)
    findings += about_pointers
    findings += prerequisites.check(code, on, context, policy, supplied)

    line = None
    if allowed.units > 0 and proof.clinician is not None:
        line = ServiceLine(
            id="",
            code=code.code,
            system=code.system,
            units=allowed.units,
            modifiers=marks,
            diagnoses=pointers,
            date_of_service=on,
            place_of_service=visit.place_of_service,
            rendering_id=proof.clinician.id,
            minutes=time.minutes,
            arithmetic=allowed.arithmetic,
            quotes=spans,
        )
    elif code.unit_rule is UnitRule.INSTRUMENT and outcome_of(findings) is Outcome.READY:  # nothing else says why not
        findings.append(found(time_units.NOTHING_COUNTED, code=code.code))
    return _Alone(code, tuple(findings), line, allowed.fix or lower_level)


def _holding(spans: Sequence[Quote], readings: Sequence[Reading]) -> Sequence[Reading]:
    """The readings of the notes in which the quotes stand; all of them where none is quoted."""
    if len(readings) < 2:
        return readings
    holders = {quote.note_id for quote in spans}
    return [reading for reading in readings if reading.note_id in holders] or readings


def _asked(proposal: Proposal) -> tuple[str, ...]:
    units = proposal.units
    counted = repr(units) if not isinstance(units, int) or units.bit_length() < 64 else f"{units.bit_length()} bits"
    quotes = [f"{q.note_id}|{q.element}|{q.text}" for q in proposal.quotes]
    return counted, " ".join(proposal.modifiers), " ".join(proposal.diagnoses), str(proposal.system), *quotes


def _verdicts(
    proposals: Sequence[Proposal], alone: Sequence[_Alone], across: Mapping[int, tuple[Finding, ...]], visit: Visit
) -> tuple[Verdict, ...]:
    """What becomes of each proposal, by what was found of it alone and `across` the lines, by its position."""
    findings = [(*each.findings, *across.get(position, ())) for position, each in enumerate(alone)]
    outcomes = [outcome_of(each) for each in findings]
    kept = [each.line if outcomes[i] is not Outcome.REJECTED else None for i, each in enumerate(alone)]
    ids = _numbered(kept, visit)
    return tuple(
        [
            Verdict(
                proposal=proposal,
                outcome=outcomes[i],
                findings=findings[i],
                line=replace(line, id=ids[i]) if (line := kept[i]) is not None else None,
                fix=alone[i].fix if outcomes[i] is Outcome.HELD and i not in across else None,
            )
            for i, proposal in enumerate(proposals)
        ]
    )


def _numbered(lines: Sequence[ServiceLine | None], visit: Visit) -> dict[int, str]:
    """Line ids of our own, by position: the visit, the code, and a number among lines of that code in a fixed order."""
    numbers: dict[str, int] = {}
    ids: dict[int, str] = {}
    for code, _, _, _, _, position in sorted(
        [(x.code, x.modifiers, x.units, x.diagnoses, x.quotes, i) for i, x in enumerate(lines) if x is not None]
    ):
        numbers[code] = numbers.get(code, 0) + 1
        ids[position] = f"{visit.id}.{code}.{numbers[code]}"
    return ids


def _notices(verdicts: Sequence[Verdict], visit: Visit, codebook: Codebook, policy: Policy) -> tuple[str, ...]:
    """Facts about the installation: one word for the site, never a finding per line (law 5)."""
    on = visit.date_of_service
    assert on is not None
    used = [codebook.table_for(normalize(v.proposal.code)) for v in verdicts if v.line is not None]
    ended = {t.name: t.covers_through for t in used if t is not None and on > t.covers_through}
    notices = [
        f"Table {name} ends on {last.isoformat()}, before the date of service: load a newer one."
        for name, last in sorted(ended.items())
    ]
    if not policy.covers(on):
        notices.append(f"Policy {policy.id} is not dated for this date of service.")
    return tuple(notices)
