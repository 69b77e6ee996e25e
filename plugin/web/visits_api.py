"""A list of visits to be coded, told by software of the EHR: `POST /api/visits` with `{"encounters": ["id", ...]}`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_mappings.views import is_kept_id
from plugin.web.callers import NotTheCaller, body_of, caller, refusal
from plugin.web.house import House

_MOST = 10_000


def found(request: Request) -> Response:
    """Keep the visits as found. What is no id is named in the answer; the rest goes on."""
    house: House = request.app.state.house
    try:
        ehr = caller(request, house)
    except NotTheCaller:
        return Response(status_code=401)
    body = body_of(request)
    listed = body.get("encounters") if body is not None else None
    if not isinstance(listed, list) or len(listed) > _MOST:
        return refusal(400, "invalid", f"a list named encounters is needed, of {_MOST} ids at most")
    ids = [str(each).removeprefix("Encounter/") for each in listed]
    wrong = [number for number, each in enumerate(ids) if not is_kept_id(each)]
    for each in dict.fromkeys(i for i in ids if is_kept_id(i)):
        house.store.arrivals.found(ehr.id, each, "list")
    if house.flow is not None:
        house.flow.nudge()
    return JSONResponse({"found": len(ids) - len(wrong), "not_an_id": wrong}, status_code=202)
