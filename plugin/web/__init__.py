"""They call us: sign-in and launch, the clinician's page, CDS Hooks, administration."""
