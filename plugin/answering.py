"""Our own errors as one line on standard error and an exit code: 2 the input or a setting is wrong, 3 try again later."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from fhir_mappings.bundles import UnusableBundle
from fhir_mappings.claims import UnwritableClaim
from fhir_mappings.views import UnusableResource
from guardrails import codebook, policies
from plugin import official_files, proposals_file
from plugin.ehr.errors import EhrError, NotFound, Refused, UnsafeUrl
from plugin.evaluation.benchmark import UnusableBenchmark
from plugin.proposers.protocol import ModelMisconfigured, ProposerError
from plugin.release.fees import UnusableFees
from plugin.settings import SettingsError
from plugin.store.vault import VaultError

P = ParamSpec("P")
T = TypeVar("T")

_WRONG = (
    UnusableBundle,
    UnusableResource,
    UnwritableClaim,
    SettingsError,
    ModelMisconfigured,
    NotFound,
    Refused,
    UnsafeUrl,
    proposals_file.UnusableProposals,
    policies.PolicyError,
    codebook.CodebookError,
    official_files.UnusableTable,
    UnusableBenchmark,
    UnusableFees,
    VaultError,
)
_LATER = (EhrError, ProposerError)


def answering(command: Callable[P, T]) -> Callable[P, T]:
    """Turn our own errors into one line on standard error and an exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except _WRONG as problem:
            click.echo(f"claimwright: {problem}", err=True)
            sys.exit(2)
        except _LATER as problem:
            click.echo(f"claimwright: {problem}", err=True)
            sys.exit(3)

    return run
