"""The EHR client against a loopback server that behaves as servers do on bad days."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from fhir_mappings import claims
from fhir_mappings.views import Json
from plugin.destinations.ehr import ChangedElsewhere, EhrDestination, Written
from plugin.ehr import errors
from plugin.ehr.client import FhirClient
from plugin.settings import EhrSettings, Limits
from plugin.store.records import RemoteClaim
from tests.conftest import a_note, a_visit
from tests.scripted import Answer, ScriptedServer

PATIENT = {"resourceType": "Patient", "id": "1", "meta": {"versionId": "3"}}


def page(*ids: str, following: str | None = None) -> dict[str, object]:
    links = [{"relation": "next", "url": following}] if following else []
    return {
        "resourceType": "Bundle",
        "link": links,
        "entry": [{"resource": {"resourceType": "Patient", "id": i}} for i in ids],
    }


@pytest.fixture
def waited() -> list[float]:
    """The seconds that the client asked to wait."""
    return []


@pytest.fixture
def client(scripted: ScriptedServer, waited: list[float]) -> Iterator[FhirClient]:
    """A client of the scripted server that notes its waits and does not sleep."""
    with FhirClient(
        EhrSettings(base_url=scripted.base, bearer_token=SecretStr("t0ken")), Limits(pages=3), sleep=waited.append
    ) as made:
        yield made


@pytest.mark.parametrize("headers", [{"Retry-After": "7"}, {"Retry-After": "Wed, 21 Oct 2065 07:28:00 GMT"}])
def test_429_waits_as_long_as_the_server_asks(
    client: FhirClient, scripted: ScriptedServer, waited: list[float], headers: dict[str, str]
) -> None:
    """Seconds or an HTTP date; then the read succeeds."""
    scripted.script(Answer(429, {}, headers), Answer(200, PATIENT))
    assert waited == []
    if headers["Retry-After"] == "7":
        assert client.read("Patient", "1")["id"] == "1"
        assert waited == [7.0]
    else:  # decades are longer than the budget: given up, not slept through
        with pytest.raises(errors.Throttled):
            client.read("Patient", "1")
        assert waited == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, {}),
        Answer(502, b"<html>", content_type="text/html"),
        Answer(503, {}),
        Answer(504, {}),
        Answer(drop=True),
    ],
)
def test_reads_survive_passing_failures(
    client: FhirClient, scripted: ScriptedServer, waited: list[float], answer: Answer
) -> None:
    """5xx and dropped connections are tried again, with growing waits."""
    scripted.script(answer, answer, Answer(200, PATIENT))
    assert client.read("Patient", "1")["id"] == "1"
    assert len(waited) == 2
    assert len(scripted.requests) == 3


def test_reads_give_up_in_the_end(client: FhirClient, scripted: ScriptedServer) -> None:
    """Five tries and no more."""
    scripted.script(Answer(503, {}))
    with pytest.raises(errors.Unreachable):
        client.read("Patient", "1")
    assert len(scripted.requests) == 5


@pytest.mark.parametrize("answer", [Answer(500, {}), Answer(502, {}), Answer(504, {}), Answer(drop=True)])
def test_a_write_whose_answer_is_lost_is_not_repeated(
    client: FhirClient, scripted: ScriptedServer, answer: Answer
) -> None:
    """It may have happened: the caller must look before trying again."""
    scripted.script(answer)
    with pytest.raises(errors.OutcomeUnknown):
        client.create({"resourceType": "Claim"})
    assert len(scripted.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Refused),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (405, errors.NotOffered),
        (409, errors.Conflict),
        (410, errors.NotFound),
        (412, errors.Conflict),
        (422, errors.Refused),
        (302, errors.UnsafeUrl),
    ],
)
def test_each_refusal_has_its_error(
    client: FhirClient, scripted: ScriptedServer, status: int, kind: type[errors.EhrError]
) -> None:
    """Not retried; the server's issue codes are told, its free text is not."""
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "invalid", "diagnostics": "Ostrava 1988"}],
    }
    scripted.script(Answer(status, outcome, {"Location": "https://evil.example/"}))
    with pytest.raises(kind) as problem:
        client.read("Patient", "1")
    assert len(scripted.requests) == 1
    assert "(invalid)" in str(problem.value)
    assert "Ostrava" not in str(problem.value)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>Please log in</html>", content_type="text/html"),
        Answer(200, b"{not json"),
        Answer(200, b"[1]"),
        Answer(200, {"no": "type"}),
        Answer(200, b"[" * 200_000),
    ],
)
def test_200_with_something_else_is_not_fhir(client: FhirClient, scripted: ScriptedServer, answer: Answer) -> None:
    """A login page with status 200 is no patient."""
    scripted.script(answer)
    with pytest.raises(errors.NotFhir):
        client.read("Patient", "1")


def test_pages_are_followed_and_duplicates_dropped(client: FhirClient, scripted: ScriptedServer) -> None:
    """All pages, each resource once; entries of other types are left out; the search's values stay out of the URL."""
    first = page("1", "2", following=f"{scripted.base}?page=2")
    first["entry"].append({"resource": {"resourceType": "OperationOutcome"}})  # type: ignore[attr-defined]
    scripted.script(Answer(200, first), Answer(200, page("2", "3")))
    assert [p["id"] for p in client.search("Patient", {"family": "Ostrava"})] == ["1", "2", "3"]
    assert "Ostrava" not in "".join(r.path for r in scripted.requests)


def test_a_next_link_elsewhere_is_not_followed(client: FhirClient, scripted: ScriptedServer) -> None:
    """Our token goes to the configured base only."""
    scripted.script(Answer(200, page("1", following="https://evil.example/fhir?page=2")))
    with pytest.raises(errors.UnsafeUrl):
        list(client.search("Patient", {}))
    assert len(scripted.requests) == 1


def test_next_links_in_a_circle_and_endless_pages_stop(client: FhirClient, scripted: ScriptedServer) -> None:
    """A circle is seen; otherwise the page limit ends it."""
    scripted.script(Answer(200, page("1", following=f"{scripted.base}?page=1")))
    with pytest.raises(errors.TooMuch, match="circle"):
        list(client.search("Patient", {}))
    scripted.script(*(Answer(200, page(str(n), following=f"{scripted.base}?page={n + 1}")) for n in range(5)))
    with pytest.raises(errors.TooMuch, match="pages"):
        list(client.search("Patient", {}))


def test_an_answer_over_the_size_limit_is_refused(scripted: ScriptedServer) -> None:
    """Counted after decompression, before it is parsed."""
    scripted.script(Answer(200, {"resourceType": "Patient", "id": "x" * 1000}))
    with (
        FhirClient(EhrSettings(base_url=scripted.base), Limits(response_bytes=500)) as client,
        pytest.raises(errors.TooMuch),
    ):
        client.read("Patient", "1")


def test_a_server_without_post_search_is_searched_by_get(client: FhirClient, scripted: ScriptedServer) -> None:
    """405 on `_search` falls back to GET."""
    scripted.script(Answer(405, {}), Answer(200, page("1")))
    assert [p["id"] for p in client.search("Patient", {"_id": "1"})] == ["1"]
    assert [r.method for r in scripted.requests] == ["POST", "GET"]


def test_writes_carry_their_conditions(client: FhirClient, scripted: ScriptedServer) -> None:
    """If-None-Exist on create, If-Match on update, the token on both; a bare answer is completed by a read."""
    claim = {"resourceType": "Claim", "id": "9"}
    scripted.script(
        Answer(201, None, {"Location": f"{scripted.base}/Claim/9/_history/1"}), Answer(200, claim, {"ETag": 'W/"1"'})
    )
    made, etag = client.create({"resourceType": "Claim"}, if_none_exist="identifier=a%7Cb")
    assert (made["id"], etag) == ("9", 'W/"1"')
    scripted.script(Answer(200, claim, {"ETag": 'W/"2"'}))
    assert client.update(claim, etag='W/"1"')[1] == 'W/"2"'
    sent = [r.headers for r in scripted.requests]
    assert sent[0]["if-none-exist"] == "identifier=a%7Cb"
    assert sent[2]["if-match"] == 'W/"1"'
    assert all(h["authorization"] == "Bearer t0ken" for h in sent)


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]},
        {
            "resourceType": "Bundle",
            "entry": [
                {
                    "resource": {
                        "resourceType": "OperationOutcome",
                        "issue": [{"severity": "warning", "code": "incomplete"}],
                    }
                }
            ],
        },
    ],
)
def test_a_search_that_failed_with_status_200_is_not_empty(
    client: FhirClient, scripted: ScriptedServer, body: dict[str, object]
) -> None:
    """ "Nothing found" would withdraw a good draft."""
    scripted.script(Answer(200, body))
    with pytest.raises(errors.Unreachable):
        list(client.search("DocumentReference", {}))


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Bundle", "entry": 5, "link": 5},
        {"resourceType": "Bundle", "entry": [None, 5, {"resource": 7}]},
    ],
)
def test_a_misshapen_bundle_is_an_empty_one(
    client: FhirClient, scripted: ScriptedServer, body: dict[str, object]
) -> None:
    """Wrong shapes raise nothing."""
    scripted.script(Answer(200, body))
    assert list(client.search("Patient", {})) == []


def test_a_claim_that_is_no_draft_any_more_is_left_alone(client: FhirClient, scripted: ScriptedServer) -> None:
    """Without ETags only its status and content tell: an active Claim is somebody's, and no PUT goes out."""
    ours = {"resourceType": "Claim", "status": "draft", "identifier": [{"value": "v"}]}
    theirs = {**ours, "id": "9", "status": "active"}
    found = {"resourceType": "Bundle", "entry": [{"resource": theirs}]}
    scripted.script(Answer(200, found), Answer(200, theirs))
    with pytest.raises(ChangedElsewhere, match="no longer a draft"):
        EhrDestination(client).write({**ours, "item": []}, RemoteClaim("9", None, 1), [{**theirs, "id": "x"}])
    assert [r.method for r in scripted.requests] == ["POST", "GET"]


OURS: Json = {"resourceType": "Claim", "status": "draft", "identifier": [{"value": "v"}]}
OLDER: Json = {**OURS, "item": [1]}
NEWER: Json = {**OURS, "item": [2]}


def held(claim: Json) -> Answer:
    """A search that finds the Claim."""
    return Answer(200, {"resourceType": "Bundle", "entry": [{"resource": {**claim, "id": "9"}}]})


def test_an_update_of_ours_that_came_late_is_no_change_elsewhere(client: FhirClient, scripted: ScriptedServer) -> None:
    """Given up, yet under way: it lands between the look and the next try, which then finds its own words there."""
    scripted.script(
        *(held(OLDER), Answer(200, {**OLDER, "id": "9"}, {"ETag": 'W/"1"'}), Answer(412, {})),
        *(held(NEWER), Answer(200, {**NEWER, "id": "9"}, {"ETag": 'W/"2"'})),
    )
    written = EhrDestination(client).write(NEWER, RemoteClaim("9", 'W/"1"', 1), [NEWER, OLDER])
    assert (written.claim_id, written.etag, written.wrote) == ("9", 'W/"2"', False)


def test_a_claim_that_somebody_changes_at_every_look_is_theirs(client: FhirClient, scripted: ScriptedServer) -> None:
    """Two looks, two conflicts: the job stops."""
    looked = (held(OLDER), Answer(200, {**OLDER, "id": "9"}, {"ETag": 'W/"1"'}), Answer(412, {}))
    scripted.script(*looked, *looked)
    with pytest.raises(ChangedElsewhere, match="while it was being written"):
        EhrDestination(client).write(NEWER, RemoteClaim("9", 'W/"1"', 1), [NEWER, OLDER])


def test_an_older_version_that_came_late_is_not_taken_for_the_newer_one(
    client: FhirClient, scripted: ScriptedServer
) -> None:
    """The conditional create answers with the version that came late: the newer one is then written over it."""
    scripted.script(
        Answer(200, {"resourceType": "Bundle"}),
        Answer(200, {**OLDER, "id": "9"}, {"ETag": 'W/"1"'}),
        Answer(200, {**NEWER, "id": "9"}, {"ETag": 'W/"2"'}),
    )
    written = EhrDestination(client).write(NEWER, None, [NEWER, OLDER])
    assert (written.claim_id, written.etag, written.wrote) == ("9", 'W/"2"', True)
    assert [r.method for r in scripted.requests] == ["POST", "POST", "PUT"]
    assert scripted.requests[2].headers["if-match"] == 'W/"1"'


def explained(client: FhirClient) -> None:
    """Explain version 2 of a Claim."""
    EhrDestination(client).explain(Written("9", 'W/"2"', wrote=True), a_visit(a_note("A note.")), "baseline", ["1"])


def test_a_provenance_is_created_unless_one_that_came_late_is_there(
    client: FhirClient, scripted: ScriptedServer
) -> None:
    """Its tag names the Claim version, and the create is conditional on it."""
    late = {"resourceType": "Provenance", "id": "5", "target": [{"reference": "Claim/9/_history/2"}]}
    scripted.script(
        Answer(200, {"resourceType": "Bundle"}), Answer(200, {"resourceType": "Device", "id": "1"}), Answer(200, late)
    )
    explained(client)
    created = scripted.requests[2]
    (tag,) = json.loads(created.body)["meta"]["tag"]
    assert tag["code"] == "Claim/9/_history/2"
    assert created.headers["if-none-exist"] == f"_tag={quote(tag['system'] + '|' + tag['code'], safe='')}"
    assert len(scripted.requests) == 3


def test_a_device_that_two_processes_made_at_one_moment_still_stands_for_us(
    client: FhirClient, scripted: ScriptedServer
) -> None:
    """The condition then matches two, and the server refuses it for ever: one of them is taken."""
    devices = [{"resource": {**claims.device("baseline", ["1"]), "id": each}} for each in ("b", "a")]
    scripted.script(
        *(
            Answer(200, {"resourceType": "Bundle"}),
            Answer(412, {}),
            Answer(200, {"resourceType": "Bundle", "entry": devices}),
        ),
        Answer(201, {"resourceType": "Provenance", "id": "5", "target": [{"reference": "Claim/9/_history/2"}]}),
    )
    explained(client)
    assert len(scripted.requests) == 4
    assert json.loads(scripted.requests[3].body)["agent"][0]["who"] == {"reference": "Device/a"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, {}),
        Answer(412, {}),
        Answer(200, {"resourceType": "Provenance", "id": "4", "target": [{"reference": "Claim/9/_history/1"}]}),
        Answer(200, {"resourceType": "Provenance", "id": "3", "target": [{"reference": "Claim/8/_history/2"}]}),
    ],
)
def test_a_server_without_conditions_by_tag_gets_the_provenance_all_the_same(
    client: FhirClient, scripted: ScriptedServer, answer: Answer
) -> None:
    """It refuses the condition, or takes no notice of the tag and answers with another Provenance."""
    before = {"resourceType": "Provenance", "id": "4", "target": [{"reference": "Claim/9/_history/1"}]}
    made = {"resourceType": "Provenance", "id": "5", "target": [{"reference": "Claim/9/_history/2"}]}
    scripted.script(
        Answer(200, {"resourceType": "Bundle", "entry": [{"resource": before}]}),
        *(Answer(200, {"resourceType": "Device", "id": "1"}), answer, Answer(201, made)),
    )
    explained(client)
    assert [r.path.rpartition("/")[2] for r in scripted.requests[2:]] == ["Provenance", "Provenance"]
    assert "if-none-exist" not in scripted.requests[3].headers


def test_a_write_that_a_gateway_asks_to_repeat_is_not(client: FhirClient, scripted: ScriptedServer) -> None:
    """503 with Retry-After: the server behind it may have written; whoever asked looks first (fhir 4.1)."""
    scripted.script(Answer(503, {}, {"Retry-After": "1"}), Answer(201, PATIENT))
    with pytest.raises(errors.OutcomeUnknown):
        client.create(PATIENT)
    assert len(scripted.requests) == 1
    scripted.script(Answer(503, {}, {"Retry-After": "1"}), Answer(200, PATIENT))
    assert client.read("Patient", "1")["id"] == "1"


def test_references_under_the_ehrs_own_base_are_its_own_and_others_are_not(
    client: FhirClient, scripted: ScriptedServer
) -> None:
    """However it writes them they name its resources; what names another server stays as it is (fhir 2.6)."""
    other = "https://other.example/fhir/Patient/1"
    scripted.script(
        Answer(
            200,
            {
                "resourceType": "Encounter",
                "id": "e",
                "subject": {"reference": f"{scripted.base}/Patient/1"},
                "participant": [{"individual": {"reference": f"{scripted.base}/Practitioner/p/_history/2"}}],
                "partOf": {"reference": other},
                "serviceProvider": {"reference": "Organization/7"},
            },
        )
    )
    read = client.read("Encounter", "e")
    assert read["subject"] == {"reference": "Patient/1"}
    assert read["participant"] == [{"individual": {"reference": "Practitioner/p/_history/2"}}]
    assert read["partOf"] == {"reference": other}
    assert read["serviceProvider"] == {"reference": "Organization/7"}
