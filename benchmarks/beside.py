"""Two public packages at their own work, in the same run as ours: `claim-validator` judging a claim of six lines, and
`hccinfhir` scoring three diagnoses. Neither reads notes; the ratios only place our figures on a machine.
"""

from __future__ import annotations

from claim_validator import validate
from claim_validator.models.claim import ClaimData
from hccinfhir import Demographics, HCCInFHIR

from benchmarks.proofs import report, timed

CLAIM = {
    "billing_provider_npi": "1234567893",
    "rendering_provider_npi": "1234567893",
    "subscriber_id": "W000000001",
    "patient_first_name": "Fictional",
    "patient_last_name": "Person",
    "patient_dob": "1990-01-01",
    "patient_gender": "F",
    "payer_id": "00001",
    "place_of_service": "11",
    "diagnosis_codes": [{"code": "F33.1", "pointer": 1}],
    "lines": [
        {
            "procedure_code": "99213",
            "charge_amount": 1.0 + number,
            "units": 1,
            "diagnosis_pointers": [1],
            "service_date_from": f"2026-03-{number + 1:02}",
            "place_of_service": "11",
        }
        for number in range(6)
    ],
}


def main() -> None:
    """Measure and print."""
    claim = ClaimData.model_validate(CLAIM)
    report("beside: claim-validator, claims of six lines", timed(lambda: validate(claim)))
    scorer, person = HCCInFHIR(), Demographics(age=70, sex="F")
    codes = ["F331", "F4310", "E119"]
    report(
        "beside: hccinfhir, scores of three diagnoses", timed(lambda: scorer.calculate_from_diagnosis(codes, person))
    )


if __name__ == "__main__":
    main()
