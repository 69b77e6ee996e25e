"""A second, deliberately naive implementation of the time-unit rules of domain.md sections 3.2 to 3.6.

Written from the text of those sections alone, so that it can disagree with the engine: it counts, takes away and
walks tables, and uses no closed formula. Minutes are whole and not negative; nothing here is meant to be fast.
"""

from __future__ import annotations

# Section 3.3, "Psychotherapy": first minute of each row, code without E/M, code with E/M.
PSYCHOTHERAPY_ROWS: tuple[tuple[int, str | None, str | None], ...] = (
    (0, None, None),
    (16, "90832", "90833"),
    (38, "90834", "90836"),
    (53, "90837", "90838"),
)


def floor15(m: int) -> int:
    """Count the whole 15-minute pieces in m (sections 3.2 and 3.5, FLOOR15)."""
    units = 0
    left = m
    while left >= 15:
        left = left - 15
        units = units + 1
    return units


def mid15(m: int) -> int:
    """Count the whole 15-minute pieces in m, and one more when 8 or more minutes remain (3.2 and 3.5, MID15)."""
    units = 0
    left = m
    while left >= 15:
        left = left - 15
        units = units + 1
    if left >= 8:
        units = units + 1
    return units


def ceil15(m: int) -> int:
    """Count the 15-minute pieces begun in m, the last of which may be short (sections 3.2 and 3.5, CEIL15)."""
    units = 0
    left = m
    while left > 0:
        left = left - 15
        units = units + 1
    return units


def floor_n(m: int, n: int) -> int:
    """Count the whole n-minute pieces in m, minute by minute (sections 3.2 and 3.5, FLOOR_N)."""
    if n < 1:
        raise ValueError("n must be at least 1")
    units = 0
    in_this_piece = 0
    for _minute in range(m):
        in_this_piece = in_this_piece + 1
        if in_this_piece == n:
            units = units + 1
            in_this_piece = 0
    return units


def psychotherapy(m: int) -> str | None:
    """Find the psychotherapy code without E/M for m minutes in the table of section 3.3."""
    found: str | None = None
    for first_minute, without_em, _with_em in PSYCHOTHERAPY_ROWS:
        if m >= first_minute:
            found = without_em
    return found


def psychotherapy_with_em(m: int) -> str | None:
    """Find the psychotherapy add-on code beside an E/M for m minutes in the table of section 3.3."""
    found: str | None = None
    for first_minute, _without_em, with_em in PSYCHOTHERAPY_ROWS:
        if m >= first_minute:
            found = with_em
    return found


def family_psychotherapy(m: int) -> int:
    """Give one session of 90846 or 90847 from 26 minutes on, and nothing below (section 3.3)."""
    if m < 26:
        return 0
    return 1


def crisis(m: int) -> tuple[int, int]:
    """Give the units of 90839 (from 30 minutes) and of 90840 (at 75 and each 30 minutes after) of section 3.3."""
    if m < 30:
        return (0, 0)
    add_ons = 0
    next_row_starts = 75
    while m >= next_row_starts:
        add_ons = add_ons + 1
        next_row_starts = next_row_starts + 30
    return (1, add_ons)


def midpoint_family(m: int, base: int, step: int) -> tuple[int, int]:
    """Give the base unit and the add-on units whose midpoint m has passed (3.2 CPT_MIDPOINT and the 3.3 table)."""
    if base < 1 or step < 1:
        raise ValueError("base and step must be at least 1")
    # Everything is doubled, so that the midpoint of an odd length is a whole number.
    if not 2 * m > base:
        return (0, 0)
    add_ons = 0
    time_before_next = 2 * base
    while 2 * m > time_before_next + step:
        add_ons = add_ons + 1
        time_before_next = time_before_next + 2 * step
    return (1, add_ons)


def hard_minimum(m: int, n: int) -> int:
    """Give one unit when m reaches n minutes and nothing below, with no midpoint (3.2 HARD_MIN and 3.6 PD-08)."""
    if m >= n:
        return 1
    return 0


def cms8_pooled(minutes: dict[str, int]) -> dict[str, int]:
    """Pool the minutes of all codes and hand the allowed units out by the CMS8_POOLED algorithm of section 3.4."""
    pooled = 0
    for own_minutes in minutes.values():
        pooled = pooled + own_minutes

    # Walk down the table: 0-7 is 0 units, then a new row starts at 8, 23, 38, 53, ...
    allowed = 0
    next_row_starts = 8
    while pooled >= next_row_starts:
        allowed = allowed + 1
        next_row_starts = next_row_starts + 15

    # Whole units first; every code that came in keeps an entry, even with 0 units.
    given: dict[str, int] = {}
    remainder: dict[str, int] = {}
    handed_out = 0
    for code in sorted(minutes):
        given[code] = 0
        remainder[code] = minutes[code]
        while remainder[code] >= 15:
            remainder[code] = remainder[code] - 15
            given[code] = given[code] + 1
            handed_out = handed_out + 1

    # Then one unit at a time to the largest remainder; going up in code order, a tie stays with the lowest code.
    while handed_out < allowed:
        best: str | None = None
        for code in sorted(remainder):
            if best is None or remainder[code] > remainder[best]:
                best = code
        if best is None:
            break
        given[best] = given[best] + 1
        remainder[best] = -1
        handed_out = handed_out + 1
    return given


def tenths_of_hour(m: int) -> int:
    """Count the tenths of an hour in m, 6 minutes each and the last one from its fourth minute (3.2 TENTHS_HOUR)."""
    tenths = 0
    left = m
    while left >= 6:
        left = left - 6
        tenths = tenths + 1
    if left >= 4:
        tenths = tenths + 1
    return tenths
