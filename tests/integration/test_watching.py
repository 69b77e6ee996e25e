"""What watches over us: metrics that hold no id, whether we are ready, and who may ask."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import create_engine, text

from plugin import pipeline
from plugin.metrics import Metrics, served
from plugin.settings import EngineSettings, SettingsError
from plugin.store.records import ModelRequest
from plugin.store.store import Store
from plugin.web.app import build
from plugin.web.house import House
from sandbox import ehr as sandbox_ehr
from sandbox.ehr import Ehr
from tests.visitors import Visitor

VISIT = "h2014-45-minutes"
TOKEN = "a-long-random-token"


@pytest.fixture(scope="module")
def house(ehr: Ehr, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Claimwright with a token for who watches."""
    quiet = EngineSettings(poll_seconds=None, pump_seconds=0.2)
    settings = ehr.settings(tmp_path_factory.mktemp("claimwright"), engine=quiet)
    web = settings.web.model_copy(update={"metrics_token": SecretStr(TOKEN)})
    opened = House.open(settings.model_copy(update={"web": web}))
    with sandbox_ehr.serving(build(opened), int(ehr.app_url.rpartition(":")[2])):
        yield opened


def metrics_of(answer: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name, then by the values of their labels in the order of the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(value for _, value in sorted(sample.labels.items()))] = sample.value
    return found


def asked(house: House, **headers: str) -> httpx.Response:
    return httpx.get(f"{house.url}/metrics", headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_metrics_say_what_happens_and_hold_no_id(ehr: Ehr, house: House) -> None:
    """After a day's work every metric is there, parses, and no label holds an id of a visit, client, draft or person."""
    visitor = Visitor(house)
    page = visitor.launch(ehr, VISIT)
    visitor.get("/no/such/page")
    with house.ehrs.unattended_site("sandbox") as (site, _):
        taken = pipeline.look(site, VISIT)[1]
    kept = {"ehr_id": "sandbox", "encounter_id": VISIT, "snapshot_key": taken.key, "model": "m", "prompt": "p"}
    for failed in (None, "Unreachable"):
        house.store.asked_model(
            ModelRequest(
                **kept,
                at=house.store.drafts()[0].created_at,
                requests=2,
                input_tokens=100,
                cached_tokens=10,
                output_tokens=5,
                seconds=1.0,
                cents=0.0,
                failed=failed,
            )
        )
    house.store.arrivals.found("sandbox", "nobody-there", "list")
    answer = asked(house)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = metrics_of(answer.text)
    assert found["claimwright_database_up"][()] == 1
    assert found["claimwright_queue_items"][("ready",)] == 1
    assert found["claimwright_queue_oldest_seconds"][("ready",)] >= 0
    assert sum(found["claimwright_visits"].values()) == 1
    assert ("failed",) in found["claimwright_visits"]
    assert () in found["claimwright_outbox_pending"]
    assert found["claimwright_model_requests_total"][("m",)] == 4
    assert found["claimwright_model_tokens_total"][("input", "m")] == 200
    assert found["claimwright_model_failures_total"][("Unreachable", "m")] == 1
    assert found["claimwright_proposals_total"][("ready",)] >= 1
    assert found["claimwright_http_requests_total"][("GET", "/v/{launch}", "200")] >= 1
    assert found["claimwright_http_requests_total"][("GET", "none", "404")] == 1
    assert found["claimwright_http_request_seconds_count"][("/v/{launch}",)] >= 1
    assert len(found["claimwright_build_info"]) == 1
    draft = house.store.drafts()[0]
    ids = {draft.id, VISIT, str(draft.patient_id), str(draft.clinician_id), str(page.url).rpartition("/")[2]}
    ids |= {"nobody-there", *(a.id for a in house.people.accounts()), *(a.name for a in house.people.accounts())}
    assert not [each for each in ids if each in answer.text]


def test_the_same_visit_again_is_not_counted_again(ehr: Ehr, house: House) -> None:
    """Proposals are counted when a snapshot is proved for the first time, not whenever it is looked at."""
    with house.ehrs.unattended_site("sandbox") as (site, _):
        pipeline.code_visit(site, "h0031-complete")
        before = metrics_of(asked(house).text)["claimwright_proposals_total"]
        pipeline.code_visit(site, "h0031-complete")
    assert metrics_of(asked(house).text)["claimwright_proposals_total"] == before


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Forwarded_For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
        {"Via": "1.1 proxy"},
        {"Host": "claims.example"},
        {"Authorization": "Bearer wrong", "Host": "claims.example"},
        {"Authorization": f"Basic {TOKEN}", "Host": "claims.example"},
    ],
)
def test_metrics_are_not_for_everybody(house: House, headers: dict[str, str]) -> None:
    """What a proxy hands on is not from this machine, however it says so; a wrong token opens nothing."""
    answer = asked(house, **headers)
    assert answer.status_code == 403
    assert "claimwright_" not in answer.text


def test_with_the_token_metrics_can_be_read_from_elsewhere(house: House) -> None:
    """As a bearer token; without the setting there is none."""
    elsewhere = {"Host": "claims.example", "X_Forwarded_For": "203.0.113.9", "Authorization": f"Bearer {TOKEN}"}
    assert asked(house, **elsewhere).status_code == 200
    before = house.settings
    house.settings = before.model_copy(update={"web": before.web.model_copy(update={"metrics_token": None})})
    try:
        assert asked(house, **elsewhere | {"Authorization": "Bearer None"}).status_code == 403
    finally:
        house.settings = before


def test_ready_is_who_can_work(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """All three are so; each alone makes it not ready, and alive it is all the same."""
    answer = httpx.get(f"{house.url}/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"database": True, "migrations": True, "engine": True}
    flow = house.flow
    monkeypatch.setattr(house, "flow", None)
    assert httpx.get(f"{house.url}/readyz").json()["engine"] is False
    assert httpx.get(f"{house.url}/readyz").status_code == 503
    monkeypatch.setattr(house, "flow", flow)
    engine = create_engine(house.settings.database)
    with engine.begin() as connection:
        (head,) = connection.execute(text("select version_num from alembic_version")).one()
        connection.execute(text("update alembic_version set version_num = 'older'"))
    try:
        assert httpx.get(f"{house.url}/readyz").json() == {"database": True, "migrations": False, "engine": True}
    finally:
        with engine.begin() as connection:
            connection.execute(text("update alembic_version set version_num = :head"), {"head": head})
        engine.dispose()
    assert httpx.get(f"{house.url}/healthz").text == "ok"


def test_without_a_database_nothing_is_ready_and_the_metrics_say_so(house: House, tmp_path: Any) -> None:
    """A store whose tables are gone: no error page, but `claimwright_database_up 0` and 503."""
    store = Store.open(house.settings.model_copy(update={"data_dir": tmp_path, "database_url": None}))
    with store.reading() as session:
        session.execute(text("drop table queue_mark"))
        session.execute(text("drop table queue_item"))
        session.commit()
    said = metrics_of(Metrics(store).text().decode())
    assert said["claimwright_database_up"][()] == 0
    assert "claimwright_queue_items" not in said
    assert "claimwright_build_info" in said
    store.close()


def test_a_worker_answers_for_itself(house: House) -> None:
    """The same three addresses on loopback; a port that is taken is said."""
    ready = {"database": True, "engine": False}
    with served(0, Metrics(house.store), lambda: ready) as port:
        base = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{base}/healthz").text == "ok"
        assert httpx.get(f"{base}/readyz").status_code == 503
        assert json.loads(httpx.get(f"{base}/readyz").text) == ready
        assert "claimwright_queue_items" in metrics_of(httpx.get(f"{base}/metrics").text)
        assert httpx.get(f"{base}/anything").status_code == 404
        with pytest.raises(SettingsError, match="--metrics-port"), served(port, Metrics(house.store), lambda: ready):
            pass


def test_no_metric_has_a_label_that_could_hold_an_id(house: House) -> None:
    """The names of labels are a closed list; whoever adds one thinks about it here."""
    names = set(re.findall(r'[{,](\w+)="', asked(house).text))
    known = {"state", "model", "kind", "outcome", "rule", "effect", "version", "method", "route", "status", "le", "ehr"}
    assert names <= known | {"form"}
