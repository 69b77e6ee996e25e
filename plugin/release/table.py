"""The same claims as a table, one row a line, for a biller's spreadsheet or another system's import."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from fhir_mappings.professional import Line, PersonName, ProfessionalClaim
from plugin.release.fees import Fees

COLUMNS = (
    "claim",
    "line",
    "client_last",
    "client_first",
    "client_birth_date",
    "client_sex",
    "relationship",
    "member_id",
    "payer",
    "payer_id",
    "billing_npi",
    "rendering_last",
    "rendering_first",
    "rendering_npi",
    "date",
    "through",
    "place_of_service",
    "code",
    "modifiers",
    "units",
    "diagnoses",
    "authorization",
    "charge",
)
_FORMULA = ("=", "+", "-", "@", "|", "%")


def write(claims: Sequence[ProfessionalClaim], fees: Fees | None = None) -> bytes:
    """CSV in UTF-8, every cell quoted. `charge` is in dollars, and blank where there is no price.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it, and no cell holds a line break.
    """
    made = io.StringIO()
    table = csv.writer(made, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    table.writerow(COLUMNS)
    table.writerows(map(inert, row) for row in _rows(claims, fees))
    return made.getvalue().encode("utf-8")


def inert(cell: str) -> str:
    """The cell as text that no spreadsheet computes."""
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in cell)
    shown = (
        c for c in unicodedata.normalize("NFKC", plain) if unicodedata.category(c)[0] not in "CZ" and c not in "'\""
    )
    return f"'{plain}" if next(shown, "") in _FORMULA else plain


def _rows(claims: Iterable[ProfessionalClaim], fees: Fees | None) -> Iterator[tuple[str, ...]]:
    for claim in claims:
        for n, line in enumerate(claim.lines, 1):
            yield _row(claim, n, line, fees)


def _row(claim: ProfessionalClaim, n: int, line: Line, fees: Fees | None) -> tuple[str, ...]:
    client, insured = claim.patient, claim.insured
    cents = fees.charge(line, line.day, insured.payer.id) if fees else None
    return (
        claim.control,
        str(n),
        *_name(client.name),
        client.birth_date.isoformat(),
        client.sex,
        insured.relationship,
        insured.member_id,
        insured.payer.name,
        insured.payer.id,
        claim.billing.npi,
        *_name(line.rendering.name),
        line.rendering.npi,
        line.day.isoformat(),
        (line.through or line.day).isoformat(),
        line.place,
        line.code,
        " ".join(line.modifiers),
        str(line.units),
        " ".join(claim.diagnoses[p - 1] for p in line.pointers),
        claim.prior_authorization,
        "" if cents is None else f"{cents // 100}.{cents % 100:02}",
    )


def _name(name: PersonName) -> tuple[str, str]:
    return name.last, " ".join(part for part in (name.first, name.middle) if part)
