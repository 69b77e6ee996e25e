"""Work off the outbox: bring drafts to where they belong, once, however often it is tried."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import prompts
from fhir_mappings.views import Json
from guardrails.visit import NoteSet
from plugin import snapshot
from plugin.destinations.ehr import ChangedElsewhere, EhrDestination, Written
from plugin.ehr.errors import EhrError, Forbidden, NotOffered, Refused
from plugin.store.records import Delivery, DeliveryState, Draft
from plugin.store.store import Store
from plugin.workbench import Site, Understood

_NO_PROVENANCE = (Forbidden, NotOffered, Refused)


def deliver(site: Site, store: Store, understood: Understood, draft: Draft) -> tuple[bool, str | None]:
    """Work off the outbox of the visit's drafts, each job once. Nothing is lost when it fails: the job waits, and says why."""
    wrote, problem = False, None
    if site.destination is None:
        return wrote, problem
    for each in store.drafts(encounter_id=draft.encounter_id):
        if each.ehr_id != draft.ehr_id:
            continue
        for job in store.pending(each.id):
            if not store.take(job):  # somebody else is sending it
                continue
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

    def overtaking(standing: Written, claim: Json | None) -> None:
        """Its job was superseded, perhaps before it was explained. Of its sources only the visit is known for sure."""
        visit = replace(understood.visit, version="", notes=NoteSet())
        person = store.decided_by(job.draft.id, destination.name, claim)
        with suppress(*_NO_PROVENANCE):
            destination.explain(standing, visit, site.proposer.name, versions, person)

    written = destination.write(job.draft.claim, known, store.sent(job.draft.id, destination.name), overtaking)
    store.written(job, written.claim_id, written.etag)
    try:
        destination.explain(written, understood.visit, site.proposer.name, versions, job.person)
        store.delivered(job)
    except _NO_PROVENANCE as refused:
        store.delivered(job, f"Provenance was not written: {refused}")
    return written.wrote
