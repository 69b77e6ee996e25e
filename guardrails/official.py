"""Tables as CMS and a licensed site publish them, laid over the packaged ones: newer dates, new codes, dated pairs and limits.

What an official file does not say (how minutes become units, what a service must document) stays with our own tables; a code
that only the official file knows is held for a person, never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal

from guardrails.codebook import CPT_SYSTEM, HCPCS_SYSTEM, Code, Codebook, Icd10Cm, Modifier, UnitRule
from guardrails.edit_tables import Pair, PairTable, UnitLimits

Kind = Literal["hcpcs", "pairs", "limits", "add-ons", "icd10cm", "cpt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialCode:
    """A code or modifier with its short public text, its dates, and whether Medicare may pay it."""

    code: str
    label: str = ""
    in_force_from: date | None = None
    in_force_through: date | None = None
    medicare: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialPair:
    """An NCCI pair with its modifier indicator and the dates between which it applies."""

    column_1: str
    column_2: str
    indicator: Literal["0", "1", "9"]
    in_force_from: date
    in_force_through: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialTable:
    """One imported file. Only the parts of its kind are filled; `payer` tells Medicare's edits from Medicaid's.

    `source` is the file's name, `read` the records it held, of which those of codes that we know were kept.
    """

    kind: Kind
    effective_from: date
    effective_through: date
    source: str
    read: int
    payer: Literal["medicare", "medicaid"] | None = None
    codes: tuple[OfficialCode, ...] = field(default=(), repr=False)
    modifiers: tuple[OfficialCode, ...] = field(default=(), repr=False)
    pairs: tuple[OfficialPair, ...] = field(default=(), repr=False)
    limits: Mapping[str, int] = field(default_factory=dict, repr=False)
    primaries: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    billable: str = field(default="", repr=False)
    categories: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """What findings call it: kind, payer and the date from which it counts."""
        return "-".join(filter(None, (self.kind, self.payer, self.effective_from.isoformat())))


def overlay(book: Codebook, tables: Iterable[OfficialTable]) -> Codebook:
    """The codebook with official tables over it, the older before the newer."""
    for table in sorted(tables, key=lambda t: (t.effective_from, t.name)):
        book = _LAYERS[table.kind](book, table)
        book = replace(book, version=f"{book.version};{table.name}")
    return book


def _hcpcs(book: Codebook, table: OfficialTable) -> Codebook:
    official = {each.code: each for each in table.codes}
    codes = dict(book.codes)
    for name, meanings in book.codes.items():
        if meanings[0].system == HCPCS_SYSTEM:
            codes[name] = (*meanings[:-1], _dated(meanings[-1], official.get(name), table))
    codes |= {name: (_new(each, HCPCS_SYSTEM, table),) for name, each in official.items() if name not in codes}
    modifiers = dict(book.modifiers)
    for each in table.modifiers:
        known = modifiers.get(each.code)
        base = known or Modifier(
            code=each.code,
            label=each.label,
            conflict_set=None,
            on_conflict=None,
            age_from=None,
            age_below=None,
            in_force_from=None,
            in_force_through=None,
        )
        modifiers[each.code] = replace(
            base, in_force_from=each.in_force_from or base.in_force_from, in_force_through=each.in_force_through
        )
    return _covering(replace(book, codes=codes, modifiers=modifiers), "hcpcs", table)


def _dated(ours: Code, official: OfficialCode | None, table: OfficialTable) -> Code:
    """Our entry with the official dates; one that a complete newer file no longer holds ended before it."""
    if official is None:
        before = table.effective_from - timedelta(days=1)
        return ours if ours.in_force_through else replace(ours, in_force_through=before)
    since = ours.in_force_from or official.in_force_from
    return replace(ours, in_force_from=since, in_force_through=official.in_force_through, medicare=official.medicare)


def _new(official: OfficialCode, system: str, table: OfficialTable) -> Code:
    return Code(
        code=official.code,
        system=system,
        label=official.label,
        unit_rule=UnitRule.UNDECIDED,
        from_minute=None,
        to_minute=None,
        step_minutes=None,
        ladder=None,
        rung=None,
        service=None,
        levels=frozenset(),
        who=None,
        add_on_to=frozenset(),
        in_force_from=official.in_force_from,
        in_force_through=official.in_force_through,
        medicare=official.medicare,
        source=table.source,
    )


def _covering(book: Codebook, name: str, table: OfficialTable) -> Codebook:
    known = book.tables.get(name)
    if known is None or known.covers_through >= table.effective_through:
        return book
    wider = replace(known, covers_through=table.effective_through, source=table.source)
    return replace(book, tables={**book.tables, name: wider})


def _cpt(book: Codebook, table: OfficialTable) -> Codebook:
    new = {c.code: (_new(c, CPT_SYSTEM, table),) for c in table.codes if c.code not in book.codes}
    return _covering(replace(book, codes={**book.codes, **new}), "cpt", table)


def _add_ons(book: Codebook, table: OfficialTable) -> Codebook:
    codes = dict(book.codes)
    for name, primaries in table.primaries.items():
        if name in codes:
            codes[name] = tuple(replace(m, add_on_to=frozenset(primaries)) for m in codes[name])
    return replace(book, codes=codes)


def _pairs(book: Codebook, table: OfficialTable) -> Codebook:
    made = PairTable(
        name=f"NCCI {(table.payer or 'medicare').capitalize()} practitioner pairs of {table.effective_from.isoformat()}",
        payer_kind=table.payer or "medicare",
        pairs={
            (p.column_1, p.column_2): Pair(
                p.column_1,
                p.column_2,
                never=p.indicator == "0",
                in_force_from=p.in_force_from,
                in_force_through=p.in_force_through,
            )
            for p in table.pairs
            if p.indicator != "9"
        },
    )
    return replace(book, edits=replace(book.edits, pair_tables=(*book.edits.pair_tables, made)))


def _limits(book: Codebook, table: OfficialTable) -> Codebook:
    payer = table.payer or "medicare"
    made = UnitLimits(
        name=f"{payer.capitalize()} practitioner MUE table of {table.effective_from.isoformat()}",
        payer_kind=payer,
        effective_from=table.effective_from,
        units=dict(table.limits),
    )
    return replace(book, edits=replace(book.edits, limit_tables=(*book.edits.limit_tables, made)))


def _icd10cm(book: Codebook, table: OfficialTable) -> Codebook:
    year = Icd10Cm(
        covers_from=table.effective_from,
        covers_through=table.effective_through,
        billable=frozenset(table.billable.split()),
        categories=frozenset(table.categories.split()),
    )
    return replace(book, further_icd10cm=(*book.further_icd10cm, year))


_LAYERS = {
    "hcpcs": _hcpcs,
    "cpt": _cpt,
    "add-ons": _add_ons,
    "pairs": _pairs,
    "limits": _limits,
    "icd10cm": _icd10cm,
}
