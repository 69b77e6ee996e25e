"""Coverage and Account to who pays, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from fhir_mappings import views
from fhir_mappings.complaints import Complaints
from guardrails.visit import Coverage

_SELF_PAY = {"pay", "SELFPAY"}


def in_order(
    coverages: Mapping[str, views.Coverage],
    accounts: Sequence[views.Account],
    organizations: Mapping[str, views.Organization],
    on: date | None,
    complaints: Complaints,
) -> tuple[tuple[Coverage, ...], bool]:
    """The coverages in force on the date of service, first payer first, and whether the record states that order.

    The visit's Account decides (`Account.coverage.priority`), else `Coverage.order`. A policy that somebody pays out of
    their own pocket comes last: it is what remains.
    """
    active = []
    for coverage in coverages.values():
        if coverage.status == "active" and _in_force(coverage, on, complaints):
            active.append(coverage)
        else:
            complaints.add(f"Coverage/{coverage.id}: not in force on the date of service; it was left out")
    priorities = {
        logical_id: each.priority
        for account in accounts
        for each in account.coverage
        if (logical_id := each.coverage.id_of("Coverage")) and each.priority is not None
    }
    by_account = [c for c in active if c.id in priorities]
    if by_account:
        active = by_account
    ranks = {c.id: priorities.get(c.id, c.order) for c in active}
    ordered = sorted(active, key=lambda c: (_self_pay(c), ranks[c.id] is None, ranks[c.id] or 0, c.id))
    insured = [ranks[c.id] for c in ordered if not _self_pay(c)]
    known = len(insured) <= 1 or (None not in insured and len(set(insured)) == len(insured))
    return tuple(_coverage(c, organizations) for c in ordered), known


def _self_pay(coverage: views.Coverage) -> bool:
    return any(c.code in _SELF_PAY for c in coverage.type.coding)


def _coverage(coverage: views.Coverage, organizations: Mapping[str, views.Organization]) -> Coverage:
    payor = next((p for p in coverage.payor if p.reference), None)
    organization = organizations.get(payor.id_of("Organization") or "") if payor else None
    identifier = next((i for i in organization.identifier if i.value), None) if organization else None
    plans = (c.value for c in coverage.class_ if c.value and any(t.code == "plan" for t in c.type.coding))
    return Coverage(
        id=coverage.id,
        payer=f"{identifier.system or ''}|{identifier.value}" if identifier else None,
        plan=next(plans, None),
        payer_reference=payor.reference if payor else None,
        self_pay=_self_pay(coverage),
    )


def _in_force(coverage: views.Coverage, on: date | None, complaints: Complaints) -> bool:
    """Of a bound that cannot be read nobody knows whether the date lies within it: the coverage is left out."""
    start = complaints.field(coverage, "period.start", coverage.period.start, views.first_day)
    end = complaints.field(coverage, "period.end", coverage.period.end, views.last_day)
    if (start is None and coverage.period.start) or (end is None and coverage.period.end):
        return False
    return on is None or ((start is None or start <= on) and (end is None or on <= end))
