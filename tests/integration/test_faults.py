"""The whole line through a proxy that makes faults, in front of the real server: nothing is lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from fhir_mappings.views import Json
from guardrails import Visit
from plugin.destinations.ehr import EhrDestination, Written
from plugin.ehr import errors
from plugin.ehr.client import FhirClient
from plugin.settings import EhrSettings, Limits
from plugin.store.records import RemoteClaim
from plugin.workbench import Site
from sandbox import server
from tests.faults import WRITES, Dose, Fault, Kind, faulty
from tests.soak import faults as soak
from tests.soak.faults import Audit, Chart, Open, Tally

OutcomeUnknown, NotFhir = errors.OutcomeUnknown, errors.NotFhir
ON_A_WRITE: dict[Fault, tuple[type[errors.EhrError] | None, int]] = {  # what is raised, how many are written
    Fault.TOO_MANY_SECONDS: (None, 1),
    Fault.TOO_MANY_DATE: (None, 1),
    Fault.UNAVAILABLE: (OutcomeUnknown, 0),
    Fault.UNAVAILABLE_SECONDS: (OutcomeUnknown, 0),
    Fault.CUT_BEFORE: (OutcomeUnknown, 0),
    Fault.CUT_AFTER: (OutcomeUnknown, 1),
    Fault.TORN: (OutcomeUnknown, 1),
    Fault.ERROR_AFTER: (OutcomeUnknown, 1),
    Fault.GATEWAY_AFTER: (OutcomeUnknown, 1),
    Fault.SLOW: (None, 1),
    Fault.HANGS: (OutcomeUnknown, 1),
    Fault.LATE: (OutcomeUnknown, 0),
    Fault.ELSEWHERE: (errors.UnsafeUrl, 1),
    Fault.LOGIN_PAGE: (NotFhir, 0),
    Fault.TRUNCATED: (NotFhir, 1),
    Fault.EMPTY: (NotFhir, 1),
    Fault.FORBIDDEN: (errors.Forbidden, 0),
    Fault.NOT_OFFERED: (errors.NotOffered, 0),
}
CLAIMS_ONLY = {Fault.FORBIDDEN, Fault.NOT_OFFERED}
ALONE = [(fault, kinds) for fault in Fault for kinds in ("reads", "writes")]
ALONE = [(f, kinds) for f, kinds in ALONE if kinds == "writes" or f not in CLAIMS_ONLY | {Fault.LATE}]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chart]:
    """A server of these tests' own, for they put visits there and change their notes."""
    with server.running(tmp_path_factory.mktemp("server")) as base, soak.chart(base) as made:
        yield made


def patience(*faults: Fault) -> Limits:
    """Little where a request hangs, else as much as in use: a busy machine is no fault."""
    return soak.IMPATIENT if Fault.HANGS in faults else Limits()


@pytest.mark.parametrize("fault", Fault, ids=lambda f: f.name)
def test_each_fault_is_what_it_says(fault: Fault, real: Chart) -> None:
    """A write that meets it: the error that the client names it by, and whether the server has it."""
    value = str(uuid4())
    device: Json = {"resourceType": "Device", "identifier": [{"system": "urn:faults", "value": value}]}
    raised, written = ON_A_WRITE[fault]
    with (
        faulty(real.base, {fault: Dose(writes=1.0, at_most=1)}) as proxy,
        FhirClient(EhrSettings(base_url=proxy.base), patience(fault), sleep=lambda _: None) as client,
    ):
        resource: Json = {"resourceType": "Claim"} if fault in CLAIMS_ONLY else device
        if raised is None:
            client.create(resource)
        else:
            with pytest.raises(errors.EhrError) as problem:
                client.create(resource)
            assert type(problem.value) is raised
        assert len(real.found("Device", identifier=value)) == written
        assert proxy.count(fault, Kind.CREATE) == proxy.count(fault) == 1
        proxy.calm()
        assert len(real.found("Device", identifier=value)) == written + (fault is Fault.LATE)


@pytest.mark.parametrize(("fault", "kinds"), ALONE, ids=lambda value: getattr(value, "name", value))
def test_a_visit_gets_through_each_fault(fault: Fault, kinds: str, real: Chart, tmp_path: Path) -> None:
    """Coded, amended and coded again until it is done: one Claim, two versions, each explained once, and delivered.

    What could not be read for once may make a version more: the draft is made of what could be read, then of all.
    """
    dose = Dose(reads=0.15, at_most=6) if kinds == "reads" else Dose(writes=0.6, at_most=5)
    if fault in CLAIMS_ONLY:
        dose = Dose(writes=1.0, at_most=2)
    tally = Tally()
    (visit,) = real.admit(f"{fault.name.lower().replace('_', '-')}-{kinds}", 1)
    with (
        faulty(real.base, {fault: dose}, seed=3) as proxy,
        soak.opened(proxy.base, tmp_path, limits=patience(fault)) as (store, open_site),
    ):

        def try_one(encounter_id: str) -> bool:
            return soak.attempt(open_site, store, encounter_id, tally)

        soak.until_done(visit, try_one)
        real.change_time(visit)
        soak.until_done(visit, try_one)
        assert proxy.count(fault) > 0
        assert (proxy.count(fault, *WRITES) > 0) == (kinds == "writes")
        proxy.calm()
        found = soak.audit(real, store, [visit])
    assert (tally.untyped, tally.stuck, found.problems) == ([], [], [])
    assert found.drafts == 1
    assert found.versions == 2 or (kinds == "reads" and found.versions > 2)
    if kinds == "writes" and ON_A_WRITE[fault][0] is not None:
        assert tally.failures.total() > 0


def test_a_storm_loses_and_doubles_nothing(real: Chart, tmp_path: Path) -> None:
    """All faults mixed, notes amended and taken back meanwhile, whether the last version had gone out or not."""
    found = soak.storm(real.base, tmp_path, soak.STORM, seed=4, calls=300, visits=4)
    assert found.problems == []
    assert found.calls >= 300
    assert found.tally.amended > 0
    assert found.tally.failures.total() > 0
    assert len({fault for fault, _ in found.injected}) >= 10


def test_a_plan_without_faults_changes_nothing(real: Chart, tmp_path: Path) -> None:
    """Two proxies in a row count the same requests, inject nothing, and pass answers on as they are."""
    tally = Tally()
    (visit,) = real.admit("no-faults", 1)
    with (
        faulty(real.base, {}) as behind,
        faulty(behind.base, dict.fromkeys(Fault, Dose())) as proxy,
        soak.opened(proxy.base, tmp_path, limits=patience()) as (store, open_site),
    ):
        assert soak.attempt(open_site, store, visit, tally)
        assert proxy.requests == behind.requests
        assert (proxy.requests[Kind.CAPABILITIES], proxy.requests[Kind.CREATE]) == (1, 3)  # Claim, Device, Provenance
        assert not proxy.injected
        assert not behind.injected
        for path in (f"/Encounter/{visit}", f"/Claim?encounter=Encounter/{visit}", "/Encounter/no-such-visit"):
            direct, passed = httpx.get(real.base + path), httpx.get(proxy.base + path)
            assert (passed.status_code, passed.headers.get("etag")) == (direct.status_code, direct.headers.get("etag"))
            if path != "/Encounter/no-such-visit":
                assert _without_time(passed.text.replace(proxy.base, real.base)) == _without_time(direct.text)
        found = soak.audit(real, store, [visit])
    assert (tally.tries, tally.failures.total(), found.problems, found.versions) == (1, 0, [], 1)


def _without_time(text: str) -> str:
    """A Bundle has an id and a time of its own, each time that it is asked for."""
    body = httpx.Response(200, text=text).json()
    if body["resourceType"] == "Bundle":
        body = {"entry": body["entry"], "total": body["total"], "link": body["link"]}
    return str(body)


def test_the_same_seed_makes_the_same_faults(real: Chart) -> None:
    """Given the order of the requests; another seed makes others."""

    def met(seed: int) -> list[int]:
        plan = {Fault.UNAVAILABLE: Dose(reads=0.3), Fault.LOGIN_PAGE: Dose(reads=0.3)}
        with faulty(real.base, plan, seed=seed) as proxy, httpx.Client(base_url=proxy.base) as http:
            return [len(http.get("/Patient/nobody").content) for _ in range(30)]

    assert met(1) == met(1) != met(2)


class Careless(EhrDestination):
    """Writes without looking first, and without a condition."""

    def write(self, claim: Json, known: RemoteClaim | None, sent: Sequence[Json], *_: object) -> Written:
        made, etag = self._client.create(claim)
        return Written(str(made["id"]), etag, wrote=True)


class Hasty(EhrDestination):
    """Takes a write whose answer was lost for done."""

    def write(self, claim: Json, known: RemoteClaim | None, sent: Sequence[Json], *_: object) -> Written:
        try:
            return super().write(claim, known, sent)
        except errors.OutcomeUnknown:
            return Written("1", None, wrote=True)

    def explain(
        self, written: Written, visit: Visit, proposer: str, versions: list[str], person: str | None = None
    ) -> None:
        """Not at all."""


def _with(kind: type[EhrDestination], open_site: Open) -> Open:
    def opened() -> Site:
        made = open_site()
        assert made.destination is not None
        return replace(made, destination=kind(made.destination._client))

    return opened


@pytest.mark.parametrize(
    ("kind", "fault", "lost", "doubled"),
    [(Careless, Fault.CUT_AFTER, 0, 1), (Hasty, Fault.CUT_BEFORE, 1, 0), (EhrDestination, Fault.CUT_AFTER, 0, 0)],
)
def test_a_destination_that_does_not_reconcile_is_seen(
    kind: type[EhrDestination], fault: Fault, lost: int, doubled: int, real: Chart, tmp_path: Path
) -> None:
    """The audit can fail: it sees the second Claim of one that does not look, and the missing one of one that believes."""
    tally = Tally()
    (visit,) = real.admit(f"wrong-{kind.__name__.lower()}", 1)
    plan = {fault: Dose(writes=1.0, at_most=1)}
    with (
        faulty(real.base, plan) as proxy,
        soak.opened(proxy.base, tmp_path, limits=patience()) as (store, open_site),
    ):
        wrong = _with(kind, open_site)
        soak.until_done(visit, lambda encounter_id: soak.attempt(wrong, store, encounter_id, tally))
        found: Audit = soak.audit(real, store, [visit])
    assert (len(found.lost), len(found.doubled)) == (lost, doubled)
    assert tally.untyped == []
