"""Before signing: what the note does not show yet of the service that it says it is about. No code, no units, no Claim."""

from __future__ import annotations

from dataclasses import replace

from guardrails import Finding, check, read_notes
from guardrails.rules import CuredBy, Effect
from guardrails.visit import NoteSet, NoteStatus, VisitStatus
from guardrails.visit_status import privacy as privacy_stops
from plugin import pipeline, privacy
from plugin.proposers.baseline import Baseline
from plugin.workbench import Site, Understood


def is_unsigned(understood: Understood) -> bool:
    """Whether the visit has a note that waits for its author's signature, and none that may be used."""
    notes = understood.visit.notes
    return not notes.evidence and any(n.status is NoteStatus.UNSIGNED for n in notes)


def lacking(site: Site, understood: Understood) -> tuple[Finding, ...] | None:
    """What the record would still lack if the note were signed as it stands; None where it names no service yet.

    Only what completing the note cures is said, and nothing of codes. Our own detector looks; no text leaves.
    """
    if privacy_stops(understood.visit, understood.context):
        return ()
    signed = tuple(
        replace(n, status=NoteStatus.SIGNED) if n.status is NoteStatus.UNSIGNED else n for n in understood.visit.notes
    )
    visit = replace(understood.visit, status=VisitStatus.FINISHED, notes=NoteSet(signed))
    readings = read_notes(visit, site.codebook)
    outgoing = privacy.open_gate(visit, understood.context, understood.forms, site.settings.ehr, None)
    request = pipeline.request_of(replace(understood, visit=visit, readings=readings), outgoing, site.codebook)
    if request is None:
        return None
    reply = Baseline(site.codebook).propose(request).reply
    if not reply.lines:
        return None
    proved = check(
        visit,
        understood.context,
        privacy.proposals_of(reply, outgoing),
        (),
        site.codebook,
        understood.policy,
        readings=readings,
    )
    said = {f.message: f for v in proved.verdicts for f in v.findings}
    return tuple(f for f in said.values() if _for_the_author(f))


def _for_the_author(finding: Finding) -> bool:
    """What completing the note cures, and is about what it lacks: an element, its time."""
    about_record = finding.lacks is not None or finding.rule_id.startswith(("DOC-", "TIME-01", "TIME-02"))
    return about_record and finding.cured_by is CuredBy.NOTE and finding.effect in (Effect.HOLD, Effect.WARN)
