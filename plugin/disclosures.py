"""What left for a model, visit by visit: which notes, in which form, to which host, on which basis. Never their words.

Written down before the request is sent, so that nothing leaves without a trace, whatever dies in between.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guardrails.visit import Context, Visit
from guardrails.visit_status import protected_labels
from plugin.privacy import Outgoing
from plugin.settings import ModelSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """One request to a model. `notes` holds ids, versions, hashes, sizes and how many identifiers of each kind were replaced."""

    host: str
    model: str
    basis: str | None
    protected_basis: str | None
    labels: tuple[str, ...]
    consent: str | None
    notes: tuple[dict[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """As stored and shown."""
        return {
            "host": self.host,
            "model": self.model,
            "basis": self.basis,
            "protected_basis": self.protected_basis,
            "labels": list(self.labels),
            "consent": self.consent,
            "notes": list(self.notes),
        }


def of(
    visit: Visit, context: Context, outgoing: Sequence[Outgoing], host: str, model: str, settings: ModelSettings
) -> Disclosure:
    """The disclosure that sending these notes is."""
    labels = tuple(protected_labels(visit))
    return Disclosure(
        host=host,
        model=model,
        basis=settings.basis,
        protected_basis=settings.protected_basis if labels else None,
        labels=labels,
        consent=context.disclosure_basis if labels else None,
        notes=tuple(_note(each) for each in outgoing),
    )


def _note(outgoing: Outgoing) -> dict[str, Any]:
    text = outgoing.sent.text
    replaced = Counter(text[s.sent[0] : s.sent[1]].partition("-")[0] for s in outgoing.segments if s.replaced)
    return {
        "note": outgoing.note.id,
        "version": outgoing.note.version,
        "characters": len(text),
        "sent_hash": hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        "replaced": dict(sorted(replaced.items())),
    }


def in_words(disclosure: dict[str, Any]) -> str:
    """One line for a person."""
    notes = disclosure["notes"]
    replaced = Counter[str]()
    for note in notes:
        replaced.update(note["replaced"])
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(replaced.items())) or "none found"
    basis = disclosure["protected_basis"] or disclosure["basis"] or "none (sandbox)"
    return (
        f"{len(notes)} note(s), {sum(n['characters'] for n in notes)} characters, to {disclosure['model']} at "
        f"{disclosure['host']}; identifiers replaced: {kinds}; basis: {basis}"
        + (f"; consent: {disclosure['consent']}" if disclosure["consent"] else "")
    )
