"""What can go wrong with an EHR, drawn once:

EhrError
├── Unreachable        no answer in time, or no connection: try again later
│   └── OutcomeUnknown a write was sent and its answer lost: reconcile before trying again
├── Throttled          429 or 503 with a wait longer than our budget
├── Unauthorized       401: the token is missing, expired or not accepted
├── Forbidden          403: the chart or scope is closed to us; not retried
├── NotFound           404 or 410: gone, or never there
├── Conflict           409 or 412: somebody else changed it
├── NotOffered         405 or 501, or the CapabilityStatement says so
├── Refused            any other 4xx, with the server's own issue codes
├── NotFhir            the answer is no FHIR JSON (a login page, a proxy's error)
├── UnsafeUrl          a link that leads outside the configured base
└── TooMuch            more pages, resources or bytes than the limits allow

Messages hold method, resource type, logical id and status: never a query's values, names or note text.
"""

from __future__ import annotations


class EhrError(Exception):
    """Something about the EHR stands in the way; the message says what and what to do."""


class Unreachable(EhrError):
    """No answer in time, or no connection."""


class OutcomeUnknown(Unreachable):
    """A write was sent and its answer lost: it may have happened."""


class Throttled(EhrError):
    """The server asks for more patience than the time budget holds."""


class Unauthorized(EhrError):
    """The access token is missing, expired or not accepted."""


class Forbidden(EhrError):
    """The server closes this chart or resource to us."""


class NotFound(EhrError):
    """The resource is gone, or was never there."""


class Conflict(EhrError):
    """Somebody else changed the resource, or created it at the same time."""


class NotOffered(EhrError):
    """The server does not offer the interaction."""


class Refused(EhrError):
    """The server refuses the request as it is."""


class NotFhir(EhrError):
    """The answer is no FHIR JSON."""


class UnsafeUrl(EhrError):
    """A link leads outside the configured base; nothing was sent there."""


class TooMuch(EhrError):
    """The answer exceeds a limit; nothing of it was used."""


CLOSED = (NotFound, Forbidden, NotOffered, Refused)
"""Answers that close a door for good, as against those that ask for patience."""
GARBLED = (NotFhir, UnsafeUrl)
"""Answers that made no sense, a login page or half a body: the next time there may be one that does."""
