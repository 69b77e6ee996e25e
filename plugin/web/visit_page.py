"""The clinician's page: one visit, its note, its lines, and what a person decides of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from fhir_mappings import claims
from guardrails import candidates
from plugin import pipeline
from plugin.ehr.errors import Unauthorized
from plugin.pipeline import EXPECTED
from plugin.review import coder, desk, questions
from plugin.review.desk import REASONS, NotDecided, Wish
from plugin.review.lacking import is_unsigned, lacking
from plugin.review.states import State
from plugin.snapshot import Snapshot
from plugin.store.people import Account, Launch, Role, SignedIn
from plugin.store.records import DeliveryState, Draft, Overtaken
from plugin.store.vault import VaultError
from plugin.web import visit_view
from plugin.web.coding import STEPS
from plugin.web.house import House
from plugin.web.pages import page
from plugin.web.signing_in import current_session
from plugin.workbench import Site, Understood

Handler = Callable[[Request, House, SignedIn, Launch], Response]


def in_launch(handler: Handler) -> Callable[[Request], Response]:
    """A page of one launch: of this session and no other, so that two charts in two tabs never mix."""

    @wraps(handler)
    def guarded(request: Request) -> Response:
        house: House = request.app.state.house
        session = current_session(request)
        if session is None:
            return page(
                request,
                "message.html",
                status=401,
                title="You are signed out",
                advice="You were away for a while, or signed out. Open Claimwright again from the chart.",
            )
        launch = house.people.launch(request.path_params["launch"], session.id)
        if launch is None:
            return page(
                request,
                "message.html",
                status=404,
                title="This page belongs to another sign-in",
                advice="Open Claimwright again from the chart.",
            )
        try:
            return handler(request, house, session, launch)
        except Unauthorized as problem:
            return page(
                request, "message.html", status=401, title="Your sign-in with the EHR has ended", advice=str(problem)
            )
        except EXPECTED as problem:
            return page(
                request,
                "message.html",
                status=503,
                title="The visit cannot be shown now",
                advice=str(problem),
                again=request.url.path if request.method == "GET" else f"/v/{launch.id}",
            )

    return guarded


# --- looking ---


@in_launch
def visit(request: Request, house: House, session: SignedIn, launch: Launch) -> Response:
    """The page of the launch's visit as it stands in the EHR now."""
    if launch.encounter_id is None:
        return RedirectResponse(f"/v/{launch.id}/visits", status_code=303)
    with house.site(launch) as (site, _):
        understood, taken = pipeline.look(site, launch.encounter_id)
        return _show(request, house, session, launch, site, understood, taken)


def _show(
    request: Request,
    house: House,
    session: SignedIn,
    launch: Launch,
    site: Site,
    understood: Understood,
    taken: Snapshot,
    *,
    status: int = 200,
    refused: NotDecided | None = None,
    filled: FormData | None = None,
    notice: str | None = None,
) -> Response:
    visit = understood.visit
    if launch.patient_id is not None and visit.client_id != launch.patient_id:
        return page(
            request,
            "message.html",
            status=403,
            title="This visit is another client's",
            advice="Open Claimwright from that client's chart.",
        )
    common = _common(session, launch, understood)
    if is_unsigned(understood):
        return page(
            request,
            "unsigned.html",
            lacks=lacking(site, understood),
            notes=list(visit_view.notes(understood, None)),
            **common,
        )
    draft = house.store.draft(claims.identity(visit))
    if draft is not None and draft.decided and draft.snapshot_key != taken.key:
        draft = house.store.changed_since(draft, taken.key)
    elif draft is None or draft.snapshot_key != taken.key:
        return _progress_page(request, house, launch, common)
    job = house.store.last_delivery(draft.id)
    may_decide = session.account.may(Role.CLINICIAN, Role.SUPERVISOR)
    house.read_notes(session.account.id, draft, understood)
    return page(
        request,
        "visit.html",
        status=status,
        draft=draft,
        cards=visit_view.cards(draft, understood, house.works.codebook),
        aside=visit_view.set_aside(draft),
        notes=list(visit_view.notes(understood, draft)),
        findings=draft.verdicts.get("findings", ()),
        not_checked=draft.verdicts.get("not_looked_up", {}),
        history=visit_view.history(house.store.decisions(draft.id), names(house), understood),
        sending=_sending(site, draft, job.state if job else None, job.problem if job else None),
        may_decide=may_decide,
        may_change=may_decide and not draft.decided,
        may_accept=may_decide,
        at_the_queue=False,
        queries=house.store.queries.of(draft.id),
        choices=questions.CHOICES,
        names=names(house),
        reasons={action.name: reasons for action, reasons in REASONS.items()},
        candidates=worth_adding(house, understood),
        refused=refused,
        filled=filled or FormData(),
        notice=notice or _NOTICES.get(request.query_params.get("said", "")),
        states=State,
        **common,
    )


def _common(session: SignedIn, launch: Launch, understood: Understood) -> dict[str, Any]:
    visit = understood.visit
    return {
        "signed_in": session,
        "launch": launch,
        "client": (visit.client_names[0] if visit.client_names else "Client not named") if launch.banner else None,
        "born": visit.client_birth_date,
        "on": visit.date_of_service,
        "zone": visit.facility_zone,
        "clinician": visit.rendering.name if visit.rendering and visit.rendering.name else None,
        "visit_diagnoses": visit.diagnoses,
        "problems": understood.problems,
        "at": f"/v/{launch.id}",
    }


def _progress_page(request: Request, house: House, launch: Launch, common: dict[str, Any]) -> Response:
    """The visit is being coded, or could not be."""
    assert launch.encounter_id is not None
    job = house.coding.job(launch.ehr_id, launch.encounter_id)
    if job is None or (job.done and job.problem is None) or "again" in request.query_params:
        job = house.coding.start(launch, launch.encounter_id)
    return page(request, "progress.html", job=job, step=STEPS.get(job.step, job.step), **common)


@in_launch
def progress(request: Request, house: House, session: SignedIn, launch: Launch) -> Response:  # noqa: ARG001
    """How far the coding of the visit is: for the page that waits."""
    job = house.coding.job(launch.ehr_id, launch.encounter_id or "")
    if job is None:
        return JSONResponse({"done": True})
    return JSONResponse({"done": job.done, "step": STEPS.get(job.step, job.step)})


@in_launch
def visits(request: Request, house: House, session: SignedIn, launch: Launch) -> Response:
    """This chart's recent visits to choose from, and the clinician's own that wait for them, oldest first."""
    recent: list[tuple[str, str]] = []
    if launch.patient_id is not None:
        with house.site(launch) as (_, reader):
            recent = reader.recent_visits(launch.patient_id)
    person = session.account.person or ""
    own = house.store.open_drafts_of(launch.ehr_id, person.rpartition("/")[2]) if person else []
    return page(
        request,
        "visits.html",
        signed_in=session,
        launch=launch,
        recent=recent,
        own=own,
        reachable=lambda d: launch.patient_id in (None, d.patient_id),
    )


@in_launch
def open_visit(request: Request, house: House, session: SignedIn, launch: Launch) -> Response:
    """Open one of the listed visits under a launch of its own."""
    encounter = str(request.state.form.get("encounter", ""))
    opened = house.people.launched(
        session.id,
        launch.ehr_id,
        patient_id=launch.patient_id,
        encounter_id=encounter,
        banner=launch.banner,
        tokens_of=launch.tokens_of or launch.id,
    )
    return RedirectResponse(f"/v/{opened.id}", status_code=303)


# --- deciding ---


@in_launch
def decide(request: Request, house: House, session: SignedIn, launch: Launch) -> Response:
    """Something a person decides. It counts only on the record as it stands now, and on what they saw."""
    form: FormData = request.state.form
    if launch.encounter_id is None:
        return RedirectResponse(f"/v/{launch.id}/visits", status_code=303)
    action = request.path_params["action"]
    with house.site(launch) as (site, _):
        understood, taken = pipeline.look(site, launch.encounter_id)

        def show(status: int, notice: str, refused: NotDecided | None = None) -> Response:
            return _show(
                request,
                house,
                session,
                launch,
                site,
                understood,
                taken,
                status=status,
                notice=notice,
                refused=refused,
                filled=form if refused else None,
            )

        draft = house.store.draft(claims.identity(understood.visit))
        if launch.patient_id is not None and understood.visit.client_id != launch.patient_id:
            return show(403, "")
        if draft is None:
            return show(409, "The visit was changed; this is what it is now.")
        if action == "answer":
            try:
                coder.answer(
                    house.store,
                    draft,
                    session.account,
                    int(str(form.get("query", "0")) or 0),
                    str(form.get("choice", "")),
                    str(form.get("words", "")),
                )
            except (NotDecided, Overtaken, ValueError) as problem:
                return show(409, str(problem))
            return RedirectResponse(f"/v/{launch.id}?said=answer", status_code=303)
        if action == "reopen" and draft.changed_since:
            try:
                desk.reopen_changed(house.store, draft, session.account)
            except (NotDecided, Overtaken) as problem:
                return show(409, str(problem))
            return RedirectResponse(f"/v/{launch.id}", status_code=303)
        if form.get("snapshot") != taken.key or draft.snapshot_key != taken.key:
            return show(409, "The note changed since you read it. Nothing was decided; this is the note as it is now.")
        if form.get("revision") != str(draft.revision):
            return show(409, overtaken(house, draft))
        try:
            sitting = desk.sit(site, house.store, understood, taken, draft)
            after = act(action, sitting, session.account, form)
        except NotDecided as problem:
            return show(422, str(problem), problem)
        except VaultError:
            return show(410, "The text behind this draft was purged; it can no longer be changed.")
        except Overtaken:
            return show(409, overtaken(house, house.store.draft(draft.id) or draft))
    house.coding.deliver(launch, after)
    return RedirectResponse(f"/v/{launch.id}?said={action}", status_code=303)


_NOTICES = {
    "accept": "Accepted.",
    "bill": "Accepted.",
    "reject": "Set aside. It is kept below.",
    "edit": "Changed. The rules let the line stand.",
    "add": "Added. The rules let the line stand.",
    "not-billable": "Noted: this visit is not billable.",
    "reopen": "Reopened.",
    "answer": "Answered. It goes back to the coder.",
}


def act(action: str, sitting: desk.Sitting, account: Account, form: FormData) -> Draft:
    """What a person asked for, done.

    Raises:
        NotDecided, Overtaken: as the desk says.
    """
    key = str(form.get("key", ""))
    reason, comment = str(form.get("reason", "")), str(form.get("comment", ""))
    match action:
        case "approve":
            return sitting.approve(account, held_too=form.get("held_too") == "yes")
        case "send-back":
            return sitting.send_back(account, reason, comment)
        case "accept":
            return sitting.accept(account, [key])
        case "bill":
            return sitting.accept(account)
        case "reject":
            return sitting.reject(account, key, reason, comment)
        case "edit":
            return sitting.edit(account, key, _wish(form), reason, comment)
        case "add":
            return sitting.add(account, _wish(form), reason, comment)
        case "not-billable":
            return sitting.not_billable(account, reason, comment)
        case "reopen":
            return sitting.reopen(account, reason or "mistake")
    raise NotDecided("Nothing is known of that.")


def _wish(form: FormData) -> Wish:
    units = str(form.get("units", "")).strip()
    return Wish(
        code=str(form.get("code", ""))[:12],
        units=int(units) if units.isascii() and units.isdigit() and len(units) < 6 else units[:12],
        modifiers=tuple(str(form.get("modifiers", "")).replace(",", " ").split()[:8]),
        diagnoses=tuple(str(d)[:12] for d in form.getlist("diagnosis")),
        words=tuple(w for w in (str(form.get("words", "")).strip()[:2000],) if w),
    )


def overtaken(house: House, draft: Draft) -> str:
    last = next(reversed(house.store.decisions(draft.id)), None)
    if last is None:
        return "The visit was read anew meanwhile. Nothing was decided; this is how it stands now."
    who = names(house).get(last.account_id, "Somebody")
    return f"{who} was faster: {last.action}. Nothing of yours was decided; this is how the visit stands now."


def names(house: House) -> dict[str, str]:
    return {each.id: each.name for each in house.people.accounts()}


def _sending(site: Site, draft: Draft, state: DeliveryState | None, problem: str | None) -> str | None:
    """Where an accepted draft is on its way, in words."""
    if draft.state is not State.ACCEPTED:
        return None
    if site.destination is None:
        return "Accepted. This EHR takes no Claims; the draft is kept here for billing."
    match state:
        case DeliveryState.DONE:
            return "Accepted, and written to the EHR as a draft."
        case DeliveryState.CHANGED_ELSEWHERE:
            return f"Accepted. The Claim in the EHR was changed by somebody else and is left as it is: {problem}."
        case _ if problem:
            return f"Accepted, not yet sent: {problem}. It is tried again."
    return "Accepted, sending."


def worth_adding(house: House, understood: Understood) -> list[tuple[str, str]]:
    """Codes worth choosing from when adding a line by hand, with our labels."""
    found = candidates(understood.visit, understood.readings.values(), house.works.codebook, understood.policy)
    return [(code.code, code.label) for code in found]
