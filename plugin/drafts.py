"""From verdicts to a kept draft: rendered once, one live draft a visit, withdrawn where nothing is left."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from fhir_mappings import claims
from fhir_mappings.views import Json
from guardrails import Outcome, Verdicts, Visit
from plugin import verdict_json
from plugin.destinations.ehr import NAME as EHR
from plugin.ehr.errors import Unreachable
from plugin.review.states import State
from plugin.settings import WriteWhen
from plugin.snapshot import Snapshot
from plugin.store.records import Draft, NewDraft
from plugin.store.store import Store, payer_key
from plugin.workbench import Site, Understood


def render(site: Site, understood: Understood, verdicts: Verdicts, created: datetime | None = None) -> Json | None:
    if not verdicts.lines:
        return None
    with site.timed("render"):
        return claims.draft_claim(
            understood.visit, verdicts.lines, created=created or datetime.now(UTC), incomplete=verdicts.incomplete
        )


def keep(
    site: Site, store: Store, understood: Understood, taken: Snapshot, verdicts: Verdicts, before: Mapping[str, Draft]
) -> Draft:
    """Keep the draft; drafts of the visit under another payer or billing provider are withdrawn (design: Identity)."""
    visit = understood.visit
    draft_id = claims.identity(visit)
    mine = before.get(draft_id)
    others = [d for d in before.values() if d.id != draft_id and d.ehr_id == visit.ehr_id and d.is_withdrawable]
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
    claim = render(site, understood, verdicts, created=created)
    state = state_of(verdicts)
    if claim is None and mine is not None and mine.claim is not None:
        claim, state = claims.withdrawn(mine.claim), State.WITHDRAWN  # no line left: withdrawn, not emptied
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
        | {
            "problems": list(understood.problems),
            "policy": understood.policy.id,
            "not_looked_up": understood.context.not_looked_up(),
        },
        patient_id=visit.client_id,
        clinician_id=visit.rendering.id if visit.rendering else None,
        date_of_service=visit.date_of_service,
        deadline=_deadline(site, visit),
    )
    return store.save(new, taken, destinations, expected=mine)


def _deadline(site: Site, visit: Visit) -> date | None:
    """The last day on which the payer takes the claim (42 CFR 447.45(d) and the plans' own; domain 4.6 [K])."""
    if visit.date_of_service is None:
        return None
    days = site.payers.filing_days(visit.coverage, visit.ehr_id, visit.date_of_service)
    return visit.date_of_service + timedelta(days=days or site.settings.review.filing_days)


def _withdraw(store: Store, draft: Draft, taken: Snapshot, destinations: tuple[str, ...]) -> None:
    assert draft.claim is not None
    new = NewDraft(
        id=draft.id,
        ehr_id=draft.ehr_id,
        encounter_id=draft.encounter_id,
        billing_provider=draft.billing_provider,
        payer=draft.payer,
        state=State.WITHDRAWN,
        incomplete=False,
        claim=claims.withdrawn(draft.claim),
        verdicts=draft.verdicts,
        patient_id=draft.patient_id,
        clinician_id=draft.clinician_id,
        date_of_service=draft.date_of_service,
    )
    store.save(new, taken, destinations, expected=draft)


def state_of(verdicts: Verdicts) -> State:
    """Where a draft with these verdicts stands before anybody decided."""
    if verdicts.lines:
        return State.READY
    held = any(v.outcome is Outcome.HELD for v in verdicts.verdicts) or any(
        f.effect == "hold" for f in verdicts.findings
    )
    return State.HELD if held else State.NOTHING
