"""Work off the outbox: bring drafts to where they belong, once, however often it is tried."""

from __future__ import annotations

import prompts
from plugin import snapshot
from plugin.destinations.ehr import ChangedElsewhere, EhrDestination
from plugin.ehr.errors import EhrError, Forbidden, NotOffered, Refused
from plugin.store.records import Delivery, DeliveryState, Draft
from plugin.store.store import Store
from plugin.workbench import Site, Understood


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
    written = destination.write(job.draft.claim, known, store.sent(job.draft.id, destination.name))
    store.written(job, written.claim_id, written.etag)
    try:
        destination.explain(written, understood.visit, site.proposer.name, versions, job.person)
        store.delivered(job)
    except (Forbidden, NotOffered, Refused) as refused:
        store.delivered(job, f"Provenance was not written: {refused}")
    return written.wrote
