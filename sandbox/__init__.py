"""An EHR to play with: a real FHIR server on loopback, loaded with the fixtures. Not in the wheel."""
