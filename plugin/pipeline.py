"""Read this first: the steps from a finished visit to a draft Claim, once, in their order.

read      the visit's resources and notes out of the EHR, or a Bundle      plugin.ehr, fhir_mappings
snapshot  name everything the draft will be a function of                  plugin.snapshot
gate      what may leave, identifiers replaced                             plugin.privacy
propose   a model, or the baseline, names codes from a closed list         plugin.proposers, prompts
check     prove each proposal against the note and the rules               guardrails
keep      the lines that stand as one draft Claim, with its outbox job     plugin.drafts, fhir_mappings.claims, plugin.store
deliver   reconcile by identifier, then write                              plugin.outbox, plugin.destinations

What asking a model took is metered in plugin.usage. plugin.flow runs these steps without a person, plugin.review is where
people decide, plugin.web what they see, plugin.release how approved drafts go out.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import prompts
from fhir_mappings.claims import UnwritableClaim
from fhir_mappings.context import to_context
from fhir_mappings.identifiers import identifiers_of, knows_patient
from fhir_mappings.records import VisitRecord
from fhir_mappings.views import UnusableResource
from fhir_mappings.visits import to_visit
from guardrails import Finding, Proposal, Verdicts, candidates, check, read_notes, stopped
from guardrails.codebook import Codebook
from plugin import disclosures, drafts, outbox, privacy, snapshot, tally, usage
from plugin.ehr.errors import EhrError, Unreachable
from plugin.proposers.protocol import ProposerError
from plugin.settings import ConsentSource, EhrSettings, SettingsError
from plugin.snapshot import Snapshot
from plugin.store.records import StaleDraft
from plugin.store.store import Store
from plugin.store.vault import VaultError
from plugin.workbench import Result, Site, Understood
from prompts import ProposalRequest, Reply

EXPECTED = (EhrError, ProposerError, UnusableResource, UnwritableClaim, SettingsError)
"""What a visit may wait for: the message says what, and holds no patient text."""

_TRIES = 3


def code_visit(site: Site, encounter_id: str) -> Result:
    """Take one visit through all the steps. Run it again after any failure; what was done is not done twice.

    Raises:
        EhrError, ProposerError, SettingsError, UnusableResource: the visit waits, the message says for what.
    """
    for _ in range(_TRIES):
        try:
            return _code_once(site, encounter_id)
        except StaleDraft:  # the visit changed while it was worked on: begin again with what it is now
            continue
    raise Unreachable(f"Encounter/{encounter_id}: it keeps changing; try again later")


def _code_once(site: Site, encounter_id: str) -> Result:
    before = {d.id: d for d in site.store.drafts(encounter_id=encounter_id)} if site.store else {}
    understood, taken = look(site, encounter_id)
    try:
        understood, reply = _propose(site, understood, taken)
        closed: tuple[Finding, ...] = ()
    except privacy.Closed as shut:
        reply, closed = None, shut.findings
    with site.timed("check"):
        verdicts = _prove(site, understood, reply)
        verdicts = replace(verdicts, findings=(*verdicts.findings, *(f for f in closed if f not in verdicts.findings)))
    if site.store is None:
        return Result(
            understood=understood,
            verdicts=verdicts,
            draft=None,
            claim=drafts.render(site, understood, verdicts),
            wrote=False,
        )
    with site.timed("keep"):
        draft = drafts.keep(site, site.store, understood, taken, verdicts, before)
    if draft.id not in before or before[draft.id].snapshot_key != taken.key:
        tally.proved(verdicts)
    with site.timed("deliver"):
        wrote, problem = outbox.deliver(site, site.store, understood, draft)
    return Result(
        understood=understood, verdicts=verdicts, draft=draft, claim=draft.claim, wrote=wrote, problem=problem
    )


def look(site: Site, encounter_id: str) -> tuple[Understood, Snapshot]:
    """Read a visit as it stands now, and name the snapshot that it is. Nobody is asked for proposals."""
    with site.timed("read"):
        understood = understand(site, site.read(encounter_id))
    with site.timed("snapshot"):
        taken = _snapshot(site, understood)
    return replace(understood, context=replace(understood.context, today=taken.as_of)), taken


def understand(site: Site, record: VisitRecord) -> Understood:
    """Map a record to a visit, find its payer's policy, and read its notes once."""
    mapped = to_visit(record, site.settings.ehr.site(), site.codebook)
    visit = mapped.visit
    policy = site.policy or site.payers.policy_for(visit.coverage, visit.ehr_id, visit.date_of_service)
    today = site.today() if site.today else datetime.now(ZoneInfo(visit.zone) if visit.zone else UTC).date()
    context = to_context(record.context, mapped, today=today, disclosure_basis=_basis_of_site(site.settings.ehr))
    readings = {} if stopped(visit, context) else read_notes(visit, site.codebook)
    return Understood(
        visit,
        context,
        policy,
        readings,
        identifiers_of(record),
        tuple(mapped.complaints.said),
        record.garbled,
        knows_patient=knows_patient(record),
        payer_looked_up="Coverage" not in record.not_looked_up,
    )


def _basis_of_site(ehr: EhrSettings) -> str | None:
    """What the site states for all its records. Where consents are recorded one by one, only those count."""
    return None if ehr.consent_source is ConsentSource.FHIR else ehr.disclosure_basis


def prove(site: Site, understood: Understood, proposals: tuple[Proposal, ...]) -> Verdicts:
    """Prove proposals for a visit."""
    return check(
        understood.visit,
        understood.context,
        proposals,
        (),
        site.codebook,
        understood.policy,
        readings=understood.readings,
    )


def kept_proposals(site: Site, understood: Understood, taken: Snapshot) -> tuple[Proposal, ...]:
    """The proposals of a snapshot that was proposed for already; none where none were made, or their text was purged."""
    kept = _kept_reply(site.store, understood.visit.id, taken) if site.store else None
    if kept is None or stopped(understood.visit, understood.context):
        return ()
    model = site.settings.model if site.proposer.host else None
    try:
        outgoing = privacy.open_gate(understood.visit, understood.context, understood.forms, site.settings.ehr, model)
    except privacy.Closed:
        return ()
    return privacy.proposals_of(Reply.model_validate_json(kept), outgoing)


def _snapshot(site: Site, understood: Understood) -> Snapshot:
    visit = understood.visit
    taken = snapshot.take(
        visit,
        understood.context,
        site.codebook,
        understood.policy,
        proposer=site.proposer.name,
        prompt=prompts.version(),
        protected_may_leave=bool(site.settings.model.protected_basis) or not site.proposer.host,
    )
    return site.store.keep_snapshot(taken, visit.ehr_id, visit.id) if site.store else taken


_Asked = tuple[Reply, tuple[privacy.Outgoing, ...]]


def _propose(site: Site, understood: Understood, taken: Snapshot) -> tuple[Understood, _Asked | None]:
    """The reply kept under the snapshot, else the proposer's; None where nothing need be asked. And what left for it.

    Raises:
        privacy.Closed: nothing of the visit may leave for this proposer.
    """
    visit = understood.visit
    if stopped(visit, understood.context):
        return understood, None
    with site.timed("gate"):
        model = site.settings.model if site.proposer.host else None
        outgoing = privacy.open_gate(visit, understood.context, understood.forms, site.settings.ehr, model)
    if site.proposer.host and not understood.knows_patient:
        raise UnusableResource(
            None,
            "Patient: it could not be read, so nobody can say what identifies the client; nothing was sent to the model",
        )
    kept = _kept_reply(site.store, visit.id, taken) if site.store else None
    if kept is not None:
        return understood, (Reply.model_validate_json(kept), outgoing)
    request = request_of(understood, outgoing, site.codebook)
    if request is None:
        return understood, None
    metered = usage.Meter(site.store, site.settings, visit, taken) if site.store and site.proposer.host else None
    if metered:
        metered.allow()
    if model is not None and site.proposer.host:
        leaving = disclosures.of(visit, understood.context, outgoing, site.proposer.host, site.proposer.name, model)
        understood = replace(understood, disclosure=leaving)
        if site.store:
            site.store.disclosed(visit.ehr_id, visit.id, taken.key, leaving)
    with site.timed("propose"):
        answer = metered.asked(site.proposer, request) if metered else site.proposer.propose(request)
    if site.store:
        site.store.seal(taken.key, "notes", json.dumps({o.note.id: o.note.text for o in outgoing}))
        text = answer.reply.model_dump_json()
        sealed = site.store.seal_reply(taken.key, text, site.proposer.name, prompts.version())
        reply = Reply.model_validate_json(sealed)
        return understood, (reply, outgoing)
    return understood, (answer.reply, outgoing)


def request_of(
    understood: Understood, outgoing: tuple[privacy.Outgoing, ...], book: Codebook
) -> ProposalRequest | None:
    """What a proposer is asked about a visit; None where no code is worth asking about, or nothing may leave."""
    visit = understood.visit
    codes = candidates(visit, understood.readings.values(), book, understood.policy)
    if not codes or not outgoing:
        return None
    return ProposalRequest(
        notes=tuple(o.sent for o in outgoing),
        codes=codes,
        elements=prompts.elements_of(codes, book),
        level=visit.rendering.level if visit.rendering else None,
        education_modifier=visit.rendering.education_modifier if visit.rendering else None,
        payer_kind=understood.policy.kind,
        client_placeholders=privacy.client_placeholders(outgoing),
        requires=prompts.requirements_of(codes, book),
    )


def _kept_reply(store: Store, encounter_id: str, taken: Snapshot) -> str | None:
    """The reply kept under the snapshot. After a purge it is gone, and the draft that was made of it stands."""
    try:
        return store.unseal(taken.key, "reply")
    except VaultError:
        if any(d.snapshot_key == taken.key for d in store.drafts(encounter_id=encounter_id)):
            return Reply(lines=[], nothing_because="purged").model_dump_json()
        return None


def _prove(site: Site, understood: Understood, asked: _Asked | None) -> Verdicts:
    return prove(site, understood, privacy.proposals_of(*asked) if asked else ())
