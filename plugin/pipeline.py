"""Read this first: the steps from a finished visit to a draft Claim, once, in their order.

read      the visit's resources and notes out of the EHR, or a Bundle      plugin.ehr, fhir_mappings
snapshot  name everything the draft will be a function of                  plugin.snapshot
gate      what may leave, identifiers replaced                             plugin.privacy
propose   a model, or the baseline, names codes from a closed list         plugin.proposers, prompts
check     prove each proposal against the note and the rules               guardrails
render    the lines that stand, as one draft Claim                         fhir_mappings.claims
keep      draft and outbox job, in one transaction                         plugin.store
deliver   reconcile by identifier, then write                              plugin.destinations
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import prompts
from fhir_mappings import claims
from fhir_mappings.identifiers import SurfaceForm, identifiers_of, knows_patient
from fhir_mappings.views import Json, UnusableResource
from fhir_mappings.visits import VisitRecord, to_visit
from guardrails import Context, Outcome, Proposal, Verdicts, Visit, candidates, check, read_notes, stopped
from guardrails.codebook import Codebook
from guardrails.policies import Policy
from guardrails.reading import Reading
from plugin import privacy, snapshot, verdict_json
from plugin.destinations.ehr import NAME as EHR
from plugin.destinations.ehr import ChangedElsewhere, EhrDestination
from plugin.ehr.errors import EhrError, Forbidden, NotOffered, Refused, Unreachable
from plugin.proposers.protocol import Proposer
from plugin.settings import Payers, Settings, WriteWhen
from plugin.snapshot import Snapshot
from plugin.store.store import Delivery, DeliveryState, Draft, DraftState, NewDraft, StaleDraft, Store, payer_key
from plugin.store.vault import VaultError
from prompts import ProposalRequest, Reply

_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything the steps work with. `destination` is None where the EHR takes no Claim: our store then keeps the draft."""

    settings: Settings
    codebook: Codebook
    payers: Payers
    proposer: Proposer
    read: Callable[[str], VisitRecord]
    store: Store | None = None
    destination: EhrDestination | None = None
    policy: Policy | None = None
    today: Callable[[], date] | None = None
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Understood:
    """A visit as the rules see it, and what its record lacked."""

    visit: Visit
    context: Context
    policy: Policy
    readings: dict[str, Reading] = field(repr=False)
    forms: tuple[SurfaceForm, ...] = field(repr=False)
    problems: tuple[str, ...]
    knows_patient: bool
    payer_looked_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a visit. `wrote` says whether anything was written to the EHR this time."""

    understood: Understood
    verdicts: Verdicts
    draft: Draft | None
    claim: Json | None
    wrote: bool
    problem: str | None = None


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
    with _timed(site, "read"):
        understood = understand(site, site.read(encounter_id))
    with _timed(site, "snapshot"):
        taken = _snapshot(site, understood)
        understood = replace(understood, context=replace(understood.context, today=taken.as_of))
    reply = _propose(site, understood, taken)
    with _timed(site, "check"):
        verdicts = _prove(site, understood, reply)
    if site.store is None:
        return Result(
            understood=understood, verdicts=verdicts, draft=None, claim=_render(site, understood, verdicts), wrote=False
        )
    with _timed(site, "keep"):
        draft = _keep(site, site.store, understood, taken, verdicts, before)
    with _timed(site, "deliver"):
        wrote, problem = _deliver(site, site.store, understood, draft)
    return Result(
        understood=understood, verdicts=verdicts, draft=draft, claim=draft.claim, wrote=wrote, problem=problem
    )


def understand(site: Site, record: VisitRecord) -> Understood:
    """Map a record to a visit, find its payer's policy, and read its notes once."""
    mapped = to_visit(record, site.settings.ehr.site(), site.codebook)
    visit = mapped.visit
    policy = site.policy or site.payers.policy_for(visit.coverage.payer, visit.ehr_id)
    today = site.today() if site.today else datetime.now(ZoneInfo(visit.zone) if visit.zone else UTC).date()
    context = Context(today=today, disclosure_basis=site.settings.ehr.disclosure_basis)
    readings = {} if stopped(visit, context) else read_notes(visit, site.codebook)
    return Understood(
        visit,
        context,
        policy,
        readings,
        identifiers_of(record),
        mapped.problems,
        knows_patient=knows_patient(record),
        payer_looked_up="Coverage" not in record.not_looked_up,
    )


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


def _snapshot(site: Site, understood: Understood) -> Snapshot:
    visit = understood.visit
    taken = snapshot.take(
        visit,
        understood.context,
        site.codebook,
        understood.policy,
        proposer=site.proposer.name,
        prompt=prompts.version(),
    )
    return site.store.keep_snapshot(taken, visit.ehr_id, visit.id) if site.store else taken


def _propose(site: Site, understood: Understood, taken: Snapshot) -> tuple[Reply, tuple[privacy.Outgoing, ...]] | None:
    """The reply kept under the snapshot, else the proposer's; None where nothing may or need be asked."""
    visit = understood.visit
    if stopped(visit, understood.context):
        return None
    with _timed(site, "gate"):
        model = site.settings.model if site.proposer.host else None
        outgoing = privacy.open_gate(visit, understood.context, understood.forms, site.settings.ehr, model)
    if site.proposer.host and not understood.knows_patient:
        raise UnusableResource(
            None,
            "Patient: it could not be read, so nobody can say what identifies the client; nothing was sent to the model",
        )
    kept = _kept_reply(site.store, taken) if site.store else None
    if kept is not None:
        return Reply.model_validate_json(kept), outgoing
    codes = candidates(visit, understood.readings.values(), site.codebook, understood.policy)
    if not codes or not outgoing:
        return None
    request = ProposalRequest(
        notes=tuple(o.sent for o in outgoing),
        codes=codes,
        elements=prompts.elements_of(codes, site.codebook),
        level=visit.rendering.level if visit.rendering else None,
        education_modifier=visit.rendering.education_modifier if visit.rendering else None,
        payer_kind=understood.policy.kind,
        client_placeholders=privacy.client_placeholders(outgoing),
    )
    with _timed(site, "propose"):
        answer = site.proposer.propose(request)
    if site.store:
        site.store.seal(taken.key, "notes", json.dumps({o.note.id: o.note.text for o in outgoing}))
        return Reply.model_validate_json(site.store.seal(taken.key, "reply", answer.reply.model_dump_json())), outgoing
    return answer.reply, outgoing


def _kept_reply(store: Store, taken: Snapshot) -> str | None:
    """The reply kept under the snapshot. After a purge it is gone, and the draft that was made of it stands."""
    try:
        return store.unseal(taken.key, "reply")
    except VaultError:
        if any(d.snapshot_key == taken.key for d in store.drafts()):
            return Reply(lines=[], nothing_because="purged").model_dump_json()
        return None


def _prove(site: Site, understood: Understood, asked: tuple[Reply, tuple[privacy.Outgoing, ...]] | None) -> Verdicts:
    return prove(site, understood, privacy.proposals_of(*asked) if asked else ())


def _render(site: Site, understood: Understood, verdicts: Verdicts, created: datetime | None = None) -> Json | None:
    if not verdicts.lines:
        return None
    with _timed(site, "render"):
        return claims.draft_claim(
            understood.visit, verdicts.lines, created=created or datetime.now(UTC), incomplete=verdicts.incomplete
        )


def _keep(
    site: Site, store: Store, understood: Understood, taken: Snapshot, verdicts: Verdicts, before: Mapping[str, Draft]
) -> Draft:
    """Keep the draft; drafts of the visit under another payer or billing provider are withdrawn (design: Identity)."""
    visit = understood.visit
    draft_id = claims.identity(visit)
    mine = before.get(draft_id)
    others = [d for d in before.values() if d.id != draft_id and d.ehr_id == visit.ehr_id and _withdrawable(d)]
    if others and not understood.payer_looked_up:
        raise Unreachable(
            f"Encounter/{visit.id}: the payer could not be looked up, and a draft for a known payer stands; it waits"
        )
    destinations = (EHR,) if site.destination is not None and site.settings.ehr.write_when is WriteWhen.PROVED else ()
    for other in others:
        _withdraw(store, other, taken, destinations)
    if mine is not None and mine.snapshot_key == taken.key:
        return mine
    created = datetime.fromisoformat(mine.claim["created"]) if mine is not None and mine.claim else None
    claim = _render(site, understood, verdicts, created=created)
    state = _state(verdicts)
    if claim is None and mine is not None and mine.claim is not None:
        claim, state = claims.withdrawn(mine.claim), DraftState.WITHDRAWN  # no line left: withdrawn, not emptied
    new = NewDraft(
        id=draft_id,
        ehr_id=visit.ehr_id,
        encounter_id=visit.id,
        billing_provider=visit.billing_provider or "",
        payer=payer_key(visit.coverage.payer),
        state=state,
        incomplete=verdicts.incomplete,
        claim=claim,
        verdicts=verdict_json.verdicts_json(verdicts)
        | {"problems": list(understood.problems), "policy": understood.policy.id},
    )
    return store.save(new, taken, destinations, expected=mine)


def _withdrawable(draft: Draft) -> bool:
    return draft.claim is not None and not draft.decided and draft.state is not DraftState.WITHDRAWN


def _withdraw(store: Store, draft: Draft, taken: Snapshot, destinations: tuple[str, ...]) -> None:
    assert draft.claim is not None
    new = NewDraft(
        id=draft.id,
        ehr_id=draft.ehr_id,
        encounter_id=draft.encounter_id,
        billing_provider=draft.billing_provider,
        payer=draft.payer,
        state=DraftState.WITHDRAWN,
        incomplete=False,
        claim=claims.withdrawn(draft.claim),
        verdicts=draft.verdicts,
    )
    store.save(new, taken, destinations, expected=draft)


def _state(verdicts: Verdicts) -> DraftState:
    if verdicts.lines:
        return DraftState.READY
    held = any(v.outcome is Outcome.HELD for v in verdicts.verdicts) or any(
        f.effect == "hold" for f in verdicts.findings
    )
    return DraftState.HELD if held else DraftState.NOTHING


def _deliver(site: Site, store: Store, understood: Understood, draft: Draft) -> tuple[bool, str | None]:
    """Work off the outbox of the visit's drafts. Nothing is lost when it fails: the job waits, and says why."""
    wrote, problem = False, None
    if site.destination is None:
        return wrote, problem
    for each in store.drafts(encounter_id=draft.encounter_id):
        if each.ehr_id != draft.ehr_id:
            continue
        for job in store.pending(each.id):
            try:
                wrote = _deliver_one(site, site.destination, store, understood, job) or wrote
            except ChangedElsewhere as changed:
                store.not_delivered(job, str(changed), changed_elsewhere=True)
            except EhrError as failed:
                problem = str(failed)
                store.not_delivered(job, problem)
        last = store.last_delivery(each.id)
        if last is not None and last.state is DeliveryState.CHANGED_ELSEWHERE:
            problem = last.problem
    return wrote, problem


def _deliver_one(site: Site, destination: EhrDestination, store: Store, understood: Understood, job: Delivery) -> bool:
    """Write, keep where it stands, then explain. A server that takes no Provenance keeps the Claim all the same."""
    assert job.draft.claim is not None
    versions = [prompts.version(), snapshot.RULES_VERSION, site.codebook.version]
    known = store.remote(job.draft.id, destination.name)
    written = destination.write(job.draft.claim, known, store.sent(job.draft.id, destination.name))
    store.written(job, written.claim_id, written.etag)
    try:
        destination.explain(written, understood.visit, site.proposer.name, versions)
        store.delivered(job)
    except (Forbidden, NotOffered, Refused) as refused:
        store.delivered(job, f"Provenance was not written: {refused}")
    return written.wrote


@contextmanager
def _timed(site: Site, step: str) -> Iterator[None]:
    """Seconds per step, for `benchmarks/`."""
    started = time.perf_counter()
    try:
        yield
    finally:
        site.timings[step] = site.timings.get(step, 0.0) + time.perf_counter() - started
