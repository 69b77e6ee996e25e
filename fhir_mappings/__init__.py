"""FHIR R4 JSON to visits, and verdicts to draft Claims. Pure: no network, no store."""
