"""Work off the outbox: bring drafts to where they belong, once, however often it is tried."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace

import prompts
from fhir_mappings.claims import UnwritableClaim
from fhir_mappings.views import Json
from guardrails.visit import NoteSet
from plugin import snapshot
from plugin.destinations.ehr import ChangedElsewhere, EhrDestination, Written
from plugin.ehr.errors import EhrError, Forbidden, NotOffered, Refused
from plugin.store.records import Delivery, DeliveryState, Draft
from plugin.store.store import Store
from plugin.workbench import Site, Understood

log = logging.getLogger("claimwright")

_NO_PROVENANCE = (Forbidden, NotOffered, Refused)


def deliver(site: Site, store: Store, understood: Understood, draft: Draft) -> tuple[bool, str | None]:
    """Work off the outbox of the visit's drafts, each job once. Nothing is lost when it fails: the job waits, and says why."""
    wrote, problem = False, None
    for each in store.drafts(encounter_id=draft.encounter_id):
        if each.ehr_id != draft.ehr_id:
            continue
        for job in store.pending(each.id):
            if site.destination is None:  # it did when the job was made
                problem = "the EHR offers no Claims to be written now; see docs/connect.md"
                store.delivery_failed(each.id, problem)
                break
            if not store.take(job):  # somebody else is sending it, or a newer version was made
                continue
            try:
                wrote = _deliver_one(site, site.destination, store, understood, job) or wrote
            except ChangedElsewhere as changed:
                store.not_delivered(job, str(changed), changed_elsewhere=True)
            except (EhrError, UnwritableClaim) as failed:
                problem = str(failed)
                store.not_delivered(job, problem)
            except Exception as defect:  # the others go on
                log.error("a delivery failed: %s", type(defect).__name__, extra={"ehr": each.ehr_id, "draft": each.id})
                problem = defect_of_ours(defect)
                store.not_delivered(job, problem)
        last = store.last_delivery(each.id)
        if last is not None and last.state is DeliveryState.CHANGED_ELSEWHERE:
            problem = last.problem
    return wrote, problem


def defect_of_ours(defect: Exception) -> str:
    """What people read where we failed: the kind of the error, never its words."""
    return f"a defect of Claimwright ({type(defect).__name__}); tell your administrator"


def _deliver_one(site: Site, destination: EhrDestination, store: Store, understood: Understood, job: Delivery) -> bool:
    """Write, keep where it stands, then explain. A server that takes no Provenance keeps the Claim all the same."""
    assert job.draft.claim is not None
    versions = [prompts.version(), snapshot.RULES_VERSION, site.codebook.version]
    known = store.remote(job.draft.id, destination.name)
    if known is not None and known.version > job.draft.version:  # a newer one was made and sent since this was taken
        return False

    def overtaking(standing: Written, claim: Json | None) -> None:
        """Its job was superseded, perhaps before it was explained. Of its sources only the visit is known for sure."""
        visit = replace(understood.visit, version="", notes=NoteSet())
        person = store.decided_by(job.draft.id, destination.name, claim)
        with suppress(*_NO_PROVENANCE):
            destination.explain(standing, visit, site.proposer.name, versions, person)

    written = destination.write(job.draft.claim, known, store.sent(job), overtaking)
    store.written(job, written.claim_id, written.etag)
    try:
        destination.explain(written, understood.visit, site.proposer.name, versions, job.person)
        store.delivered(job)
    except _NO_PROVENANCE as refused:
        store.delivered(job, f"Provenance was not written: {refused}")
    return written.wrote
