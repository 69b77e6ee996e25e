"""A deliberately naive second implementation of the claim edits.

Written from domain.md sections 2.5-2.7, 3.6, 3.7 and 6.1-6.4 (unit bases of 2.2-2.4
for the per-diem and per-month codes) and from the brief's settled meanings, without
sight of the other implementation. Every table is a literal; every rule is a loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# ---------------------------------------------------------------------------
# Readings of places that the brief left open, settled when the two implementations were first compared: SD-10, one session
# of one ladder and invariant 7 all speak of one clinician.

DUPLICATES_NEED_SAME_CLINICIAN: bool = True
LADDERS_NEED_SAME_CLINICIAN: bool = True
ADD_ONS_NEED_SAME_CLINICIAN: bool = True


@dataclass(frozen=True)
class Line:
    """One service line of the visit."""

    code: str
    modifiers: tuple[str, ...]
    units: int
    clinician: str
    start: int
    end: int
    complete: bool


@dataclass(frozen=True)
class Claimed:
    """One line on another claim of the same client."""

    code: str
    modifiers: tuple[str, ...]
    clinician: str
    same_date: bool
    same_month: bool


# ---------------------------------------------------------------------------
# Code lists

NEW_OFFICE: list[str] = ["99202", "99203", "99204", "99205"]
ESTABLISHED_OFFICE: list[str] = ["99211", "99212", "99213", "99214", "99215"]
OFFICE_EM: list[str] = NEW_OFFICE + ESTABLISHED_OFFICE

# Section 2.7, second row: the other E/M primaries.
FACILITY_AND_HOME_EM: list[str] = [
    "99221", "99222", "99223",
    "99231", "99232", "99233", "99234", "99235", "99236",
    "99238", "99239",
    "99242", "99243", "99244", "99245",
    "99252", "99253", "99254", "99255",
    "99304", "99305", "99306", "99307", "99308", "99309", "99310",
    "99315", "99316",
    "99341", "99342",
    "99344", "99345",
    "99347", "99348", "99349", "99350",
]  # fmt: skip

# Section 2.7, third and fourth rows.
PROLONGED: list[str] = ["99417", "G2212"]
AUDIO_VIDEO_EM: list[str] = [
    "98000", "98001", "98002", "98003", "98004", "98005", "98006", "98007",
    "98008", "98009", "98010", "98011", "98012", "98013", "98014", "98015",
]  # fmt: skip

# "All of section 2.7's list".
ALL_EM: list[str] = OFFICE_EM + FACILITY_AND_HOME_EM + PROLONGED + AUDIO_VIDEO_EM

# 90832-90834, 90836-90838
PSYCHOTHERAPY: list[str] = ["90832", "90833", "90834", "90836", "90837", "90838"]
# 96156-96171
HBAI: list[str] = [
    "96156", "96158", "96159", "96160", "96161", "96164", "96165",
    "96167", "96168", "96170", "96171",
]  # fmt: skip
# 97151-97157
ABA_TO_97157: list[str] = ["97151", "97152", "97153", "97154", "97155", "97156", "97157"]
# 97151-97158
ABA_TO_97158: list[str] = ABA_TO_97157 + ["97158"]
# 90785-90853 psychiatric codes
PSYCHIATRIC_TO_90853: list[str] = [
    "90785", "90791", "90792",
    "90832", "90833", "90834", "90836", "90837", "90838", "90839", "90840",
    "90845", "90846", "90847", "90849", "90853",
]  # fmt: skip
# 96130-96133, 96136-96139
TESTING: list[str] = [
    "96130", "96131", "96132", "96133", "96136", "96137", "96138", "96139",
]  # fmt: skip

# ---------------------------------------------------------------------------
# Section 6.1, one entry per table row: column 1 codes, column 2 codes, indicator.

PTP_ROWS: list[tuple[list[str], list[str], str]] = [
    # Settled: what 6.1 says below its table, "CPT forbids 90785 with 90846/90847/90849 and with 90839/90840", counts as a pair.
    (["90846", "90847", "90849"], ["90785"], "0"),
    (["90792"], ["90791"], "0"),
    (
        ["90791", "90792"],
        [
            "90832", "90833", "90834", "90836", "90837", "90838", "90839", "90840",
            "90845", "90846", "90847", "90849", "90853", "90863", "90865",
            "90867", "90868", "90869", "90870", "90875", "90876", "90880",
            "90882", "90885", "90887", "90889",
        ],
        "0",
    ),
    (
        ["90791", "90792"],
        ALL_EM
        + ["99406", "99407", "99408", "99409", "96116", "96127"]
        + HBAI
        + ABA_TO_97157,
        "0",
    ),
    (
        ["90791", "90792"],
        [
            "G0396", "G0397", "G0409", "G0410", "G0411",
            "G0442", "G0443", "G0444", "G0447", "G2011",
        ],
        "1",
    ),
    (["90834"], ["90832", "90833"], "0"),
    (["90836"], ["90832", "90833", "90834"], "0"),
    (["90837"], ["90832", "90833", "90834", "90836"], "0"),
    (["90838"], ["90832", "90833", "90834", "90836", "90837"], "0"),
    (["90833"], ["90832"], "0"),
    (
        PSYCHOTHERAPY,
        [
            "90839", "90840", "90875", "90876", "96127", "96158", "96159", "96160",
            "96161", "96164", "96165", "96168", "96171",
        ]
        + ABA_TO_97157
        + ["99408", "99409"],
        "0",
    ),
    (["90834", "90836", "90837", "90838"], ["96167", "96170"], "0"),
    (["90832", "90834", "90837"], ALL_EM, "0"),
    (
        PSYCHOTHERAPY,
        [
            "96116", "90867", "90868", "90869", "G0176", "G0177", "G0396", "G0397",
            "G0409", "G0410", "G0411", "G0442", "G0443", "G0444", "G0447", "G2011",
        ],
        "1",
    ),
    (["90832", "90834", "90837"], ["99406", "99407"], "1"),
    (["90833", "90836", "90838"], ["99406", "99407"], "0"),
    (
        ["90839", "90840"],
        [
            "90785", "90845", "90846", "90847", "90849", "90853", "90863", "90865",
            "90867", "90868", "90869", "90870", "90875", "90876", "90880",
            "90882", "90885", "90887", "90889", "96127", "96158", "96159", "96164",
            "96165", "96168", "96171",
        ]
        + ABA_TO_97157,
        "0",
    ),
    (["90837", "90838", "90839"], ["96156"], "0"),
    (
        ["96156"],
        ["90785", "90832", "90833", "90834", "90836", "90840", "90849", "90853"],
        "0",
    ),
    (["90785"], ["96164", "96165"] + ABA_TO_97157, "0"),
    (
        ["90839"],
        [
            "96116", "G0176", "G0177", "G0396", "G0397", "G0409", "G0410", "G0411",
            "G0442", "G0443", "G0444", "G2011",
        ],
        "1",
    ),
    # Settled: "E/M" alone, without numbers, is every family of 2.7.
    (["90845"], ["90832", "90833", "90836", "90865"] + ALL_EM, "0"),
    (["90834", "90837", "90838"], ["90845"], "0"),
    (["90845"], ["90846", "90847"], "1"),
    (["90846", "90847", "90849", "90853"], PSYCHOTHERAPY, "1"),
    (["90846"], ["90847"], "1"),
    (["90849"], ["90845", "90846", "90847"], "1"),
    (["90853"], ["90845", "90846", "90847", "90849"], "1"),
    (["90846", "90847", "90849", "90853"], OFFICE_EM, "1"),
    (
        ["90846", "90847", "90849", "90853"],
        ["96127"] + ABA_TO_97157 + ["99408", "99409"],
        "0",
    ),
    (["90867"], ["90868", "90869"], "0"),
    (["90869"], ["90868"], "0"),
    (
        ["90880"],
        PSYCHOTHERAPY + ["90845", "90846", "90847", "90849", "90853"] + ALL_EM,
        "0",
    ),
    (TESTING, ["90785", "96127"], "0"),
    (TESTING, ABA_TO_97158, "0"),
    (
        ["96112"],
        [
            "90791", "90792", "90832", "90833", "90834", "90836", "90837", "90838",
            "90839", "90845", "90846", "90847", "90849", "90853",
        ]
        + ALL_EM,
        "1",
    ),
    (["97158"], PSYCHIATRIC_TO_90853, "0"),
    (
        OFFICE_EM,
        [
            "90863", "96156", "96158", "96159", "96164", "96165", "96167", "96168",
            "99408", "99409",
        ],
        "0",
    ),
    (
        OFFICE_EM,
        [
            "96116", "96130", "96132", "96136", "96138", "96146", "97151",
            "97153", "97154", "97155", "97156", "97157", "97158",
            "G0396", "G0397", "G0442", "G0444", "G2011",
        ],
        "1",
    ),
    (["96136"], ["96138"], "1"),
    (["96110", "96127", "96136", "96138"], ["96146"], "0"),
    (
        ["90870"],
        PSYCHOTHERAPY + ["90845", "96127"],
        "0",
    ),
    (
        ["99484", "99492", "99493"],
        ["96127", "98966", "98967", "98968", "99366", "99368"],
        "0",
    ),
    (["99492"], ["99484", "99493"], "0"),
    (["99493"], ["99484"], "0"),
    (["G0397"], ["G0396"], "0"),
    (["G0396", "G0397"], ["99408", "99409", "G0442", "G2011"], "0"),
]  # fmt: skip

LADDERS: list[list[str]] = [
    ["90832", "90834", "90837"],
    ["90833", "90836", "90838"],
    NEW_OFFICE,
    ESTABLISHED_OFFICE,
    # Settled: every family whose codes are told apart by minutes is a ladder.
    ["G0396", "G0397"],
    ["G0546", "G0547", "G0548", "G0549"],
    ["90875", "90876"],
    ["98966", "98967", "98968"],
    ["99406", "99407"],
    ["99408", "99409"],
]

# Modifiers that make two lines of one code something else than a duplicate.
DISTINCT_OR_REPEAT: list[str] = ["76", "77", "59", "XE", "XP", "XS", "XU"]
# Modifiers that separate an indicator-1 pair.
SEPARATING: list[str] = ["25", "59", "XE", "XP", "XS", "XU"]

# ---------------------------------------------------------------------------
# Section 3.7, OV-02: codes without minutes of their own.

NO_OWN_MINUTES: list[str] = ["90785", "90863", "96110", "96127", "96160", "96161"]

# Unit basis exactly "per diem" in sections 2.2-2.4.
PER_DIEM: list[str] = [
    "H0017", "H0018", "H0019", "H0037", "H0040", "H0041", "H0043", "H0045",
    "H2013", "H2016", "H2018", "H2020", "H2022", "H2024", "H2026", "H2029",
    "H2031", "H2034", "H2036", "H2038",
    "T1020", "T1025", "T1040", "T2034", "T2048",
    "S0201", "S5145", "S5151", "S9125", "S9480", "S9485",
]  # fmt: skip

# Unit basis with "month" in sections 2.2-2.6.
PER_MONTH: list[str] = [
    "H0042", "H0044", "H2040", "T1041", "T2022", "T2023", "S5146",
    "G0019", "G0022", "G0023", "G0024", "G0140", "G0146", "G0323",
    "G0511", "G0512", "G0544", "G0553", "G0554", "G0568", "G0569", "G0570",
    "G2069", "G2086", "G2087", "G2088", "G2214",
    "99484", "99492", "99493", "99494",
]  # fmt: skip

# ---------------------------------------------------------------------------
# Section 6.2 and 3.6

# PD-02: 15-minute or hourly code, per-diem code.
SIBLINGS: list[tuple[str, str]] = [
    ("H2017", "H2018"),
    ("H2015", "H2016"),
    ("H2019", "H2020"),
    ("H2014", "H2038"),
    ("H0036", "H0037"),
    ("H0039", "H0040"),
    ("H2021", "H2022"),
    ("H2023", "H2024"),
    ("H2025", "H2026"),
    ("H2028", "H2029"),
    ("H2030", "H2031"),
    ("H2035", "H2036"),
    ("S9484", "S9485"),
    ("S5150", "S5151"),
    ("T1019", "T1020"),  # settled: personal care per 15 minutes and per diem are siblings too (2.3)
]

COCM: list[str] = ["99492", "99493", "99494", "G2214"]
GENERAL_BHI: list[str] = ["99484"]
APCM_ADD_ONS: list[str] = ["G0568", "G0569", "G0570"]

# ---------------------------------------------------------------------------
# Section 6.3: add-on code, allowed primaries.

PRIMARIES: dict[str, list[str]] = {
    "90785": [
        "90791", "90792", "90832", "90833", "90834", "90836", "90837", "90838", "90853",
    ],
    "90833": OFFICE_EM + FACILITY_AND_HOME_EM,
    "90836": OFFICE_EM + FACILITY_AND_HOME_EM,
    "90838": OFFICE_EM + FACILITY_AND_HOME_EM,
    "90840": ["90839"],
    "90863": ["90832", "90834", "90837"],
    "96113": ["96112"],
    "96121": ["96116"],
    "96159": ["96158"],
    "96165": ["96164"],
    "96168": ["96167"],
    "96171": ["96170"],
    "96131": ["96130"],
    "96133": ["96132"],
    "96137": ["96136"],
    "96139": ["96138"],
    "96203": ["96202"],
    "G0540": ["G0539"],
    "G0554": ["G0553"],
    "99494": ["99492", "99493"],
    "G0018": ["G0017"],
    "G0022": ["G0019"],
    "G0024": ["G0023"],
    "G0146": ["G0140"],
    "G0568": ["G0556", "G0557", "G0558"],
    "G0569": ["G0556", "G0557", "G0558"],
    "G0570": ["G0556", "G0557", "G0558"],
    "G2088": ["G2086", "G2087"],
}  # fmt: skip

# Primary of the same episode: any claimed primary will do.
TESTING_ADD_ONS: list[str] = ["96131", "96133", "96137", "96139"]
# Primary of the same month. The brief names 99494 only.
MONTHLY_ADD_ONS: list[str] = ["99494"]

# ---------------------------------------------------------------------------
# Section 6.4: Medicare practitioner MUE.

MUE: dict[str, int] = {
    "90785": 3,
    "90791": 1,
    "90792": 1,
    "90832": 2,
    "90833": 2,
    "90834": 2,
    "90836": 2,
    "90837": 2,
    "90838": 2,
    "90839": 1,
    "90840": 3,
    "90845": 1,
    "90846": 1,
    "90847": 1,
    "90849": 1,
    "90853": 1,
    "96110": 3,
    "96156": 1,
    "96160": 3,
    "96161": 1,
    "90863": 1,
    "90865": 1,
    "90867": 1,
    "90868": 2,
    "90869": 2,
    "90870": 2,
    "90875": 1,
    "90876": 0,
    "90880": 1,
    "90882": 0,
    "90885": 0,
    "90887": 0,
    "90889": 0,
    "96112": 1,
    "96113": 6,
    "96116": 1,
    "96121": 3,
    "96127": 3,
    "96130": 1,
    "96132": 1,
    "96131": 7,
    "96133": 7,
    "96136": 1,
    "96138": 1,
    "96137": 11,
    "96139": 11,
    "96146": 1,
    "96158": 1,
    "96159": 4,
    "96164": 1,
    "96165": 6,
    "96167": 1,
    "96168": 6,
    "97151": 8,
    "97152": 16,
    "97153": 32,
    "97154": 18,
    "97155": 24,
    "97156": 16,
    "97157": 16,
    "97158": 16,
    "0362T": 16,
    "0373T": 24,
    "99484": 1,
    "99492": 1,
    "99493": 1,
    "99494": 4,
    "G0442": 1,
    "G0443": 1,
    "G0444": 1,
    "G0396": 1,
    "G0397": 1,
    "G2011": 1,
    "G0410": 4,
    "G0411": 4,
    "G0323": 1,
    "G0512": 1,
    "G2214": 1,
    "99406": 1,
    "99407": 1,
}

# The codes of the MUE table whose unit basis in 2.5/2.6 is an event or a session.
EVENT_OR_SESSION: list[str] = [
    "90785", "90791", "90792",
    "90832", "90833", "90834", "90836", "90837", "90838", "90839",
    "90845", "90846", "90847", "90849", "90853",
    "90863", "90865", "90867", "90868", "90869", "90870", "90875", "90876", "90880",
    "90882", "90885", "90887", "90889",
    "96146", "96156",
    "G0396", "G0397", "G0410", "G0411", "G0442", "G0444", "G2011",
    "99406", "99407",
]  # fmt: skip


# ---------------------------------------------------------------------------
# Small questions


def worse(one: str, other: str) -> str:
    """The worse of two outcomes."""
    if one == "rejected" or other == "rejected":
        return "rejected"
    if one == "held" or other == "held":
        return "held"
    return "ready"


def ptp_indicator(column_1: str, column_2: str) -> str:
    """The indicator of the pair in this order, or an empty string."""
    for firsts, seconds, indicator in PTP_ROWS:
        if column_1 in firsts and column_2 in seconds:
            return indicator
    return ""


def has_ptp_pair(one: str, other: str) -> bool:
    """Is there a pair in either order?"""
    return ptp_indicator(one, other) != "" or ptp_indicator(other, one) != ""


def on_one_ladder(one: str, other: str) -> bool:
    """Are these two different codes of one ladder?"""
    if one == other:
        return False
    for ladder in LADDERS:
        if one in ladder and other in ladder:
            return True
    return False


def has_any(modifiers: Sequence[str], wanted: Sequence[str]) -> bool:
    """Is any of the wanted modifiers among the modifiers?"""
    for modifier in modifiers:
        if modifier in wanted:
            return True
    return False


def is_add_on_of(add_on: str, primary: str) -> bool:
    """May the first code stand as an add-on to the second?"""
    return add_on in PRIMARIES and primary in PRIMARIES[add_on]


def without_own_minutes(code: str) -> bool:
    """Is the code outside of OV-02?"""
    return code in NO_OWN_MINUTES or code in PER_DIEM or code in PER_MONTH


def minutes_overlap(one: Line, other: Line) -> bool:
    """Do the two clock intervals share at least one minute?"""
    return max(one.start, other.start) < min(one.end, other.end)


def either_way(one: str, other: str, firsts: Sequence[str], seconds: Sequence[str]) -> bool:
    """Is one code among the firsts and the other among the seconds?"""
    if one in firsts and other in seconds:
        return True
    if other in firsts and one in seconds:
        return True
    return False


def sd_01(one: str, other: str) -> bool:
    """H0031 beside 90791 or 90792."""
    return either_way(one, other, ["H0031"], ["90791", "90792"])


def sd_05(one: str, other: str) -> bool:
    """H2014 beside H2017 (the caller asks about the minutes)."""
    return either_way(one, other, ["H2014"], ["H2017"])


def sd_06(one: str, other: str) -> bool:
    """A 15-minute or hourly code beside its per-diem sibling."""
    for timed, diem in SIBLINGS:
        if either_way(one, other, [timed], [diem]):
            return True
    return False


def sd_12(one: str, other: str) -> bool:
    """CoCM, general BHI and the APCM add-ons beside each other."""
    if either_way(one, other, COCM, GENERAL_BHI):
        return True
    if either_way(one, other, COCM, APCM_ADD_ONS):
        return True
    if either_way(one, other, GENERAL_BHI, APCM_ADD_ONS):
        return True
    return False


def sd_13(one: str, other: str) -> bool:
    """T1016 or T1017 beside a monthly case-management code."""
    return either_way(one, other, ["T1016", "T1017"], ["T2022", "T2023"])


# ---------------------------------------------------------------------------
# The steps. Each one takes the statuses and returns new ones.


def canonical_order(lines: Sequence[Line]) -> list[int]:
    """The positions of the lines in the canonical order."""
    positions = list(range(len(lines)))
    positions.sort(
        key=lambda i: (
            lines[i].code,
            lines[i].modifiers,
            lines[i].units,
            not lines[i].complete,  # settled: of equal lines the complete one stands
            lines[i].start,
            lines[i].end,
            lines[i].clinician,
        )
    )
    return positions


def same_code_step(lines: Sequence[Line], status: list[str]) -> tuple[list[str], list[bool]]:
    """Duplicates (SD-10). Also says which lines are out as duplicates."""
    result = list(status)
    out = [False] * len(lines)
    order = canonical_order(lines)
    for a in range(len(order)):
        for b in range(a + 1, len(order)):
            earlier = lines[order[a]]
            later = lines[order[b]]
            if earlier.code != later.code:
                continue
            if DUPLICATES_NEED_SAME_CLINICIAN and earlier.clinician != later.clinician:
                continue
            if has_any(earlier.modifiers, DISTINCT_OR_REPEAT) or has_any(later.modifiers, DISTINCT_OR_REPEAT):
                result[order[a]] = worse(result[order[a]], "held")
                result[order[b]] = worse(result[order[b]], "held")
            else:
                result[order[b]] = "rejected"
                out[order[b]] = True
    return result, out


def ladder_step(lines: Sequence[Line], status: list[str], out: list[bool]) -> list[str]:
    """Two different codes of one ladder hold each other."""
    result = list(status)
    for i in range(len(lines)):
        for j in range(i + 1, len(lines)):
            if out[i] or out[j]:
                continue
            if LADDERS_NEED_SAME_CLINICIAN and lines[i].clinician != lines[j].clinician:
                continue
            if on_one_ladder(lines[i].code, lines[j].code):
                result[i] = worse(result[i], "held")
                result[j] = worse(result[j], "held")
    return result


def overlap_step(lines: Sequence[Line], status: list[str], out: list[bool]) -> list[str]:
    """OV-02: two lines of one clinician on the same minutes hold each other."""
    result = list(status)
    for i in range(len(lines)):
        for j in range(i + 1, len(lines)):
            one = lines[i]
            other = lines[j]
            if out[i] or out[j]:
                continue
            if one.clinician != other.clinician:
                continue
            if one.code == other.code:
                continue
            if is_add_on_of(one.code, other.code) or is_add_on_of(other.code, one.code):
                continue
            if without_own_minutes(one.code) or without_own_minutes(other.code):
                continue
            if minutes_overlap(one, other):
                result[i] = worse(result[i], "held")
                result[j] = worse(result[j], "held")
    return result


def zero_pair(lines: Sequence[Line], out: list[bool], i: int, j: int) -> bool:
    """Is line i the column-1 line of an indicator-0 pair with line j?"""
    if i == j or out[i] or out[j]:
        return False
    if lines[i].clinician != lines[j].clinician:
        return False
    if on_one_ladder(lines[i].code, lines[j].code):
        return False
    return ptp_indicator(lines[i].code, lines[j].code) == "0"


def one_pair(lines: Sequence[Line], out: list[bool], i: int, j: int) -> bool:
    """Is line i the column-1 line of an indicator-1 pair with line j?"""
    if i == j or out[i] or out[j]:
        return False
    if lines[i].clinician != lines[j].clinician:
        return False
    if on_one_ladder(lines[i].code, lines[j].code):
        return False
    return ptp_indicator(lines[i].code, lines[j].code) == "1"


def fates_under_zero_pairs(lines: Sequence[Line], before: list[str], out: list[bool]) -> list[str]:
    """Who stands and who is refused under the indicator-0 pairs.

    Only a column-1 line that was ready before the pair rules can refuse. A line stands
    once everybody who could refuse it is refused; it is refused once somebody who
    could refuse it stands. Lines refusing each other in a ring stay 'undecided'.
    """
    fate = ["undecided"] * len(lines)
    changed = True
    while changed:
        changed = False
        for j in range(len(lines)):
            if fate[j] != "undecided":
                continue
            all_refused = True
            for i in range(len(lines)):
                if before[i] != "ready" or not zero_pair(lines, out, i, j):
                    continue
                if fate[i] == "stands":
                    fate[j] = "refused"
                    changed = True
                    break
                if fate[i] != "refused":
                    all_refused = False
            if fate[j] == "undecided" and all_refused:
                fate[j] = "stands"
                changed = True
    return fate


def pair_step(lines: Sequence[Line], status: list[str], out: list[bool], payer: str) -> list[str]:
    """The PTP pairs of section 6.1."""
    before = list(status)
    result = list(status)
    fate = fates_under_zero_pairs(lines, before, out)
    for i in range(len(lines)):
        for j in range(len(lines)):
            if zero_pair(lines, out, i, j):
                if before[i] != "ready":
                    result[i] = worse(result[i], "held")
                    result[j] = worse(result[j], "held")
                elif fate[i] == "stands":
                    if payer == "unknown":
                        result[j] = worse(result[j], "held")
                    else:
                        result[j] = worse(result[j], "rejected")
                elif fate[i] == "undecided":
                    # A ring of pairs: nobody can be shown to be payable.
                    result[i] = worse(result[i], "held")
                    result[j] = worse(result[j], "held")
            if one_pair(lines, out, i, j):
                separated = has_any(lines[i].modifiers, SEPARATING) or has_any(lines[j].modifiers, SEPARATING)
                if not separated:
                    result[j] = worse(result[j], "held")
    return result


def same_day_step(lines: Sequence[Line], status: list[str], out: list[bool]) -> list[str]:
    """The rules of section 6.2 between two lines of the visit."""
    result = list(status)
    for i in range(len(lines)):
        for j in range(i + 1, len(lines)):
            one = lines[i]
            other = lines[j]
            if out[i] or out[j]:
                continue
            if has_ptp_pair(one.code, other.code):
                continue
            hold = False
            if sd_01(one.code, other.code):
                hold = True
            if one.clinician == other.clinician:
                if sd_05(one.code, other.code) and minutes_overlap(one, other):
                    hold = True
                if sd_06(one.code, other.code):
                    hold = True
                if sd_12(one.code, other.code):
                    hold = True
                if sd_13(one.code, other.code):
                    hold = True
            if hold:
                result[i] = worse(result[i], "held")
                result[j] = worse(result[j], "held")
    return result


def add_on_step(lines: Sequence[Line], claimed: Sequence[Claimed], status: list[str]) -> list[str]:
    """Section 6.3. Looks at the primaries as they were after the pair rules."""
    result = list(status)
    for i in range(len(lines)):
        code = lines[i].code
        if code not in PRIMARIES:
            continue
        present = False
        ready = False
        for j in range(len(lines)):
            if ADD_ONS_NEED_SAME_CLINICIAN and lines[i].clinician != lines[j].clinician:
                continue
            if lines[j].code in PRIMARIES[code]:
                present = True
                if status[j] == "ready":
                    ready = True
        if ready:
            continue
        if present:
            result[i] = worse(result[i], "held")
            continue
        found = False
        for other in claimed:
            if ADD_ONS_NEED_SAME_CLINICIAN and lines[i].clinician != other.clinician:
                continue
            if other.code not in PRIMARIES[code]:
                continue
            if code in TESTING_ADD_ONS:
                found = True
            elif code in MONTHLY_ADD_ONS:
                if other.same_month or other.same_date:
                    found = True
            elif other.same_date:
                found = True
        if found:
            continue
        if code in TESTING_ADD_ONS or code in MONTHLY_ADD_ONS:
            result[i] = worse(result[i], "held")
        else:
            result[i] = worse(result[i], "rejected")
    return result


def claimed_step(lines: Sequence[Line], claimed: Sequence[Claimed], status: list[str]) -> list[str]:
    """Each line against the lines on other claims of the client."""
    result = list(status)
    for i in range(len(lines)):
        line = lines[i]
        for other in claimed:
            if line.clinician != other.clinician:
                if other.same_date and sd_01(line.code, other.code):
                    result[i] = worse(result[i], "held")
                continue
            if other.same_date:
                if line.code == other.code:
                    result[i] = worse(result[i], "rejected")
                indicators = [
                    ptp_indicator(line.code, other.code),
                    ptp_indicator(other.code, line.code),
                ]
                if "0" in indicators:
                    result[i] = worse(result[i], "held")
                if "1" in indicators:
                    separated = has_any(line.modifiers, SEPARATING) or has_any(other.modifiers, SEPARATING)
                    if not separated:
                        result[i] = worse(result[i], "held")
                if sd_01(line.code, other.code):
                    result[i] = worse(result[i], "held")
                if sd_06(line.code, other.code):
                    result[i] = worse(result[i], "held")
            if other.same_date or other.same_month:
                if sd_12(line.code, other.code):
                    result[i] = worse(result[i], "held")
                if sd_13(line.code, other.code):
                    result[i] = worse(result[i], "held")
    return result


def mue_step(lines: Sequence[Line], status: list[str], payer: str) -> list[str]:
    """Section 6.4, Medicare only."""
    result = list(status)
    if payer != "medicare":
        return result
    for i in range(len(lines)):
        code = lines[i].code
        if code not in MUE:
            continue
        if lines[i].units <= MUE[code]:
            continue
        if MUE[code] == 0 or code not in EVENT_OR_SESSION:
            result[i] = worse(result[i], "rejected")
    return result


def outcome(lines: Sequence[Line], claimed: Sequence[Claimed], payer: str) -> list[str]:
    """'ready', 'held' or 'rejected' for each line, in the order of the lines."""
    status: list[str] = []
    for line in lines:
        if line.complete:
            status.append("ready")
        else:
            status.append("held")
    # Settled: a line that its units alone refuse is out before it meets another.
    refused = mue_step(lines, status, payer)
    alive = [i for i in range(len(lines)) if refused[i] != "rejected"]
    kept = [lines[i] for i in alive]
    told, out = same_code_step(kept, [refused[i] for i in alive])
    told = ladder_step(kept, told, out)
    told = overlap_step(kept, told, out)
    told = same_day_step(kept, told, out)  # settled: before the pairs, which ask whether column 1 is ready
    told = pair_step(kept, told, out, payer)
    told = claimed_step(kept, claimed, told)  # settled: before the add-ons, which ask whether their primary stands
    told = add_on_step(kept, claimed, told)
    for place, i in enumerate(alive):
        refused[i] = told[place]
    return refused


# ---------------------------------------------------------------------------
# Self-check


def make(
    code: str,
    start: int,
    end: int,
    *modifiers: str,
    clinician: str = "A",
    units: int = 1,
    complete: bool = True,
) -> Line:
    """A line for the self-check."""
    return Line(code, tuple(modifiers), units, clinician, start, end, complete)


def check(
    name: str,
    lines: list[Line],
    expected: list[str],
    claimed: Sequence[Claimed] = (),
    payer: str = "medicare",
) -> None:
    """Compare, also with the lines turned round, and complain."""
    got = outcome(lines, claimed, payer)
    assert got == expected, f"{name}: expected {expected}, got {got}"
    turned = outcome(lines[::-1], claimed, payer)
    assert turned == expected[::-1], f"{name} turned: {turned}"


def self_check() -> None:
    """Tables first, then the worked examples of section 8.3 and 8.5."""
    seen: dict[tuple[str, str], str] = {}
    for firsts, seconds, indicator in PTP_ROWS:
        for first in firsts:
            for second in seconds:
                assert first != second, first
                assert (second, first) not in seen, (first, second)
                assert seen.get((first, second), indicator) == indicator, (first, second)
                seen[(first, second)] = indicator
    # Section 6.1, "No PTP edit found between".
    no_edit: list[tuple[list[str], list[str]]] = [
        (["90791"], ["90785"]),
        (ALL_EM, ["90833", "90836", "90838", "90839"]),
        (["90846", "90847"], ["90785"]),
        (["97153"], ["97155"]),
        (["99484"], PSYCHOTHERAPY),
        (OFFICE_EM, ["96110", "96127", "96160", "96161", "99406", "99407"]),
        (["90791", "90792"] + PSYCHOTHERAPY, TESTING),
        (["96110"], ["96127"]),
    ]
    for ones, others in no_edit:
        for one in ones:
            for other in others:
                assert not has_ptp_pair(one, other), (one, other)

    r, h, x = "ready", "held", "rejected"
    check("X-E13", [make("90833", 600, 630)], [x])
    check("X-E14 apart", [make("90834", 600, 645), make("99214", 660, 690)], [r, x])
    check("X-E14 same minutes", [make("90834", 600, 645), make("99214", 600, 645)], [h, h])
    check("X-E14 unknown", [make("90834", 600, 645), make("99214", 660, 690)], [r, h], (), "unknown")
    check("X-E15", [make("90791", 600, 660), make("90837", 700, 760)], [r, x])
    check("X-E15 with 59", [make("90791", 600, 660), make("90837", 700, 760, "59")], [r, x])
    check("X-E16", [make("90791", 600, 660), make("90837", 700, 760, clinician="B")], [r, r])
    other_b = Claimed("90837", (), "B", True, True)
    check("X-E16 claimed", [make("90791", 600, 660)], [r], [other_b])
    check("X-E17", [make("90847", 600, 650), make("90834", 660, 705)], [r, h])
    check("X-E17 with 59", [make("90847", 600, 650), make("90834", 660, 705, "59")], [r, r])
    check("X-E18", [make("90847", 600, 650), make("90834", 640, 685, "59")], [h, h])
    check("X-E19 a", [make("90785", 600, 650), make("90847", 600, 650)], [x, r])
    check("X-E19 b", [make("90785", 600, 650), make("90839", 600, 650)], [x, r])
    own = Claimed("90834", (), "A", True, True)
    check("X-E37 claimed", [make("90834", 600, 645)], [x], [own])
    check("X-E37 on one claim", [make("90834", 600, 645), make("90834", 700, 745)], [r, x])
    check("X-E42", [make("90791", 600, 660), make("96127", 660, 670)], [r, x])
    check("X-E42 with 59", [make("90791", 600, 660), make("96127", 660, 670, "59")], [r, x])
    check("X-R04 a", [make("99213", 600, 620), make("96127", 620, 625)], [r, r])
    check("X-R04 b", [make("99213", 600, 620), make("96160", 620, 625)], [r, r])
    check("X-R04 c", [make("99213", 600, 620), make("96158", 630, 660)], [r, x])
    check("X-R05", [make("99214", 600, 660), make("90836", 600, 660)], [r, r])
    check("X-R06", [make("99492", 0, 1), make("99484", 0, 1)], [r, x])
    month = Claimed("99492", (), "A", False, True)
    check("X-R06 claimed", [make("99484", 0, 1)], [h], [month])

    # A few of the settled meanings.
    check("ladder", [make("90832", 600, 620), make("90834", 700, 745)], [h, h])
    check("incomplete column 1", [make("90791", 600, 660, complete=False), make("90837", 700, 760)], [h, h])
    check(
        "refused refuses nobody",
        [make("90792", 500, 560), make("90791", 600, 660), make("90785", 600, 660)],
        [r, x, r],
    )
    check("chain", [make("90834", 500, 545), make("90839", 600, 660), make("90845", 700, 750)], [r, x, x])
    check("chain 2", [make("90832", 500, 520, "59"), make("90839", 600, 660), make("90846", 700, 750)], [r, x, r])
    check("ring", [make("90832", 500, 520), make("90839", 600, 660), make("90880", 700, 750)], [h, h, h])
    check("SD-01", [make("H0031", 500, 520), make("90791", 600, 660, clinician="B")], [h, h])
    check("SD-06", [make("H2014", 500, 520), make("H2038", 600, 660)], [h, h], (), "medicaid")
    check("SD-05 apart", [make("H2014", 500, 520), make("H2017", 600, 660)], [r, r], (), "medicaid")
    check("SD-05 together", [make("H2014", 500, 520), make("H2017", 510, 660)], [h, h], (), "medicaid")
    check("testing", [make("96131", 500, 620, units=2)], [h])
    check("testing claimed", [make("96131", 500, 620, units=2)], [r], [Claimed("96130", (), "A", False, False)])
    check("CoCM add-on", [make("99494", 0, 1)], [r], [month])
    check("MUE", [make("97151", 500, 635, units=9)], [x])
    check("MUE medicaid", [make("97151", 500, 635, units=9)], [r], (), "medicaid")
    check("MUE zero", [make("90887", 500, 520)], [x])
    check("MUE event", [make("90853", 500, 560, units=2)], [r])
    print(f"self-check passed, {len(seen)} PTP pairs")


if __name__ == "__main__":
    self_check()
