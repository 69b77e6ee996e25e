"""Durations and clock times as a note writes them, with their spans. One pass over the text; nothing is decided here.

A statement's role comes from the words beside it: a session's time, an interruption, time that never counts
(documentation, travel, waiting: domain TM-02), or something else (a planned frequency, homework, another date).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from itertools import islice

from guardrails import time_words
from guardrails.once import once
from guardrails.patterns import Folded, Match, Pattern

MINUTES_A_DAY = 24 * 60
MOST_TIMES = 200
"""A note that states more times than this tells of more than a visit; a person must read it (TIME-038)."""
MOST_LOOKS = 1000
"""So must one with more words of one kind than this that look like times, whether or not they are."""


class Role(StrEnum):
    """What a stated time is about."""

    SESSION = "session"
    INTERRUPTION = "interruption"
    NOT_COUNTABLE = "not countable"
    UNCLEAR = "unclear"  # time inside or beside the session, and the note does not say which; or a bound of it
    ANOTHER = "another"  # a plan's, a payer's or another day's
    OTHER = "other"


_OTHERS = frozenset({Role.ANOTHER, Role.OTHER})  # they speak of no time of this session


class HalfDay(StrEnum):
    """How sure a clock time is of its half of the day."""

    STATED = "stated"  # am/pm, or a 24-hour time
    OPEN = "open"  # 2:00 - 2:45: either half
    BARE = "bare"  # 10-11: hardly a time at all


@dataclass(frozen=True, slots=True)
class ClockRange:
    """A start and a stop, in minutes after local midnight as written; `end` None where no stop is stated.

    `dated` is the (year or None, month, day) that stands in the same line before it, or in a heading just above.
    """

    span: tuple[int, int]
    start: int
    end: int | None
    half_day: HalfDay
    role: Role
    dated: tuple[int | None, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Duration:
    """A stated number of minutes; `of_psychotherapy` where the words beside it say that they are psychotherapy's alone."""

    span: tuple[int, int]
    minutes: int
    role: Role
    of_psychotherapy: bool = False


TimeStatement = ClockRange | Duration


@dataclass(frozen=True, slots=True)
class LoneStop:
    """A stop time whose start does not stand in the same text: an addendum's, or nothing; minutes after local midnight."""

    span: tuple[int, int]
    end: int
    half_day: HalfDay


class Crowded(Exception):
    """More times are stated than can be told apart."""


def read_times(text: str) -> tuple[TimeStatement, ...]:
    """The durations and clock times of a note, in the order of the text.

    Raises:
        Crowded: there are more than `MOST_TIMES`.
    """
    return times_and_stops(time_words.SIEVE.fold(text))[0]


def times_and_stops(folded: Folded) -> tuple[tuple[TimeStatement, ...], tuple[LoneStop, ...]]:
    """The times of a note as `read_times`, and the stop times that belong to no start of it.

    Raises:
        Crowded: there are more than `MOST_TIMES` of either.
    """
    stops = [stop for stop in _looked_at(time_words.STOP, folded) if _of_contact(folded, stop)]
    ranges = sorted(islice(_clock_ranges(folded, stops), MOST_TIMES + 1), key=lambda each: each.span[1])
    taken = _Taken(len(folded.text))
    for clock in ranges:
        taken.add(clock.span)
    ends = [each.span[1] for each in ranges]
    restated = [
        _restating(
            folded.text,
            duration,
            ranges[bisect_left(ends, duration.span[0] - 29) : bisect_right(ends, duration.span[0])],
        )
        for duration in islice(_durations(folded), MOST_TIMES + 1)
        if duration.span not in taken
    ]
    for duration in restated:
        taken.add(duration.span)
    times: tuple[TimeStatement, ...] = tuple(sorted([*ranges, *restated], key=lambda statement: statement.span))
    lone = tuple(_lone_stops(folded, [stop for stop in stops if stop.span() not in taken]))
    if len(times) > MOST_TIMES or len(lone) > MOST_TIMES:
        raise Crowded
    return times, lone


def _looked_at(pattern: Pattern, folded: Folded) -> Iterator[Match]:
    for number, match in enumerate(
        pattern.finditer(folded) if pattern is time_words.DURATION else pattern.near_digits(folded)
    ):
        if number == MOST_LOOKS:
            raise Crowded
        yield match


class _Taken:
    """The characters that statements cover already: one look per place, however many statements there are."""

    def __init__(self, length: int) -> None:
        self._marks = bytearray(length)

    def add(self, span: tuple[int, int]) -> None:
        """Mark a span."""
        self._marks[slice(*span)] = b"\x01" * (span[1] - span[0])

    def __contains__(self, span: tuple[int, int]) -> bool:
        return self._marks.find(1, *span) >= 0


def _lone_stops(folded: Folded, stops: Iterable[Match]) -> Iterator[LoneStop]:
    for match in stops:
        at = _single(match)
        if at is not None and _role_of_clock(folded, match.span(), labelled=True) is Role.SESSION:
            yield LoneStop(match.span(), *at)


def _restating(text: str, duration: Duration, just_before: list[ClockRange]) -> Duration:
    """A duration right behind a session's clock times, as in "14:00-14:45 (45 minutes)", restates them."""
    if duration.role in _OTHERS:
        for each in just_before:
            if (
                each.role is Role.SESSION
                and each.end is not None
                and time_words.RESTATES.fullmatch(text[each.span[1] : duration.span[0]])
            ):
                return replace(duration, role=Role.SESSION)
    return duration


def unclear_interruption(folded: Folded, statements: tuple[TimeStatement, ...]) -> tuple[int, int] | None:
    """Words of an interruption whose length no statement in the same clause gives."""
    for match in time_words.LEFT.finditer(folded):
        before, after = sentence(folded.text, match.span())
        start, end = match.start() - len(before), match.end() + len(after)
        said = any(start <= each.span[0] < end and each.role not in _OTHERS for each in statements)
        if not (
            said
            or time_words.REPORTED.search(before)
            or _allowed_for(match[0].lower(), f"{match[0]}{after}", statements)
        ):
            return match.span()
    return None


def _allowed_for(said: str, told: str, statements: tuple[TimeStatement, ...]) -> bool:
    """Whether the session's start, or its stop, is when the client came or left: the time that is told, or no appointment's."""
    sessions = {(s.start, s.end) for s in statements if isinstance(s, ClockRange) and s.role is Role.SESSION and s.end}
    late, early = "late" in said, "early" in said or "short" in said
    if len(sessions) != 1 or not (late or early):
        return False
    ((start, end),) = sessions
    edge = start if late else end or 0
    return edge % 15 != 0 or edge % 720 in {(60 * int(h) + int(m)) % 720 for h, m in time_words.A_TIME.findall(told)}


def line_of(text: str, span: tuple[int, int]) -> int:
    """Where the line that a span begins in begins."""
    return text.rfind("\n", 0, span[0]) + 1


def is_given_now(folded: Folded, span: tuple[int, int]) -> bool:
    """Whether the clause around a span speaks of this contact: given, and not planned, recommended or recalled."""
    clause = _Clause(folded, span)
    return clause.has(time_words.GIVEN) and not clause.has(time_words.ELSEWHERE)


def dates_in(text: str | Folded, start: int = 0, end: int | None = None) -> Iterator[tuple[int, date]]:
    """The calendar dates of a text (US month/day order) with their places; impossible dates are left out."""
    for match in time_words.DATE.finditer(text, start, end):
        try:
            if (stated := match["y"] or match["y2"]) is not None:
                year = int(stated)
                day = int(match["d"] or match["d2"])
                yield match.start(), date(year if year > 99 else 2000 + year, int(match["m"]), day)
            elif (iso := match["iso"]) is not None:
                yield match.start(), date.fromisoformat(iso.replace("/", "-"))
            else:
                month = time_words.MONTHS.index((match["name"] or match["name2"])[:3].lower()) + 1
                yield match.start(), date(int(match["ny"] or match["ny2"]), month, int(match["nd"] or match["nd2"]))
        except ValueError:
            continue


def _clock_ranges(folded: Folded, stops: Sequence[Match]) -> Iterator[ClockRange]:
    text, taken, dates = folded.text, _Taken(len(folded.text)), _Dates(folded)
    for pattern in (
        time_words.RANGE,
        time_words.BETWEEN,
        time_words.MILITARY_RANGE,
        time_words.IN_OUT,
        time_words.IN_OUT_MILITARY,
    ):
        labelled = pattern in (time_words.IN_OUT, time_words.IN_OUT_MILITARY)
        for match in _looked_at(pattern, folded):
            span = match.span()
            if span in taken:
                continue
            times = _times_of(
                match,
                military=pattern in (time_words.MILITARY_RANGE, time_words.IN_OUT_MILITARY),
                before="time " if labelled else text[max(0, span[0] - 60) : span[0]],
            )
            if times is None:
                continue
            start, end, half = times
            taken.add(span)
            role = _role_of_clock(folded, span, labelled=labelled)
            yield ClockRange(span, start, end, half, role, dates.over(span[0]))
    yield from _labelled_pairs(folded, taken, dates, stops)


def _times_of(match: Match, *, military: bool, before: str) -> tuple[int, int, HalfDay] | None:
    first = match["h1"]
    h1, h2 = int(first), int(match["h2"])
    m1, m2 = match["m1"], match["m2"]
    ap1, ap2 = (match["ap1"] or "").lower(), (match["ap2"] or "").lower()
    if military:
        # "1400-1445" is a time; "1000-1200 calories" is not: a label or an hours sign must stand beside it
        heads_line = not time_words.ANY_LETTER.search(before.rpartition("\n")[2]) and (
            len(before) < 60 or "\n" in before
        )
        dated = time_words.DATE_BEFORE.search(before)
        if not (heads_line or dated or time_words.SESSION_LABEL.search(before) or "h" in match[0].lower()):
            return None
        return h1 * 60 + int(m1), h2 * 60 + int(m2), HalfDay.STATED
    if h1 > 23 or h2 > 23:
        return None
    if not (m1 or m2 or ap1 or ap2):
        if not time_words.BARE_LABEL.search(before) or not (1 <= h1 <= 12 and 1 <= h2 <= 12):
            return None
        return h1 * 60, h2 * 60, HalfDay.BARE
    if ap1 or ap2:
        end = _to_minutes(h2, m2, ap2 or ap1)
        start = _to_minutes(h1, m1, ap1 or ap2)
        if not ap1 and start > end:  # "11:30-12:15 pm" is written with the half of its end
            start = (start + 12 * 60) % MINUTES_A_DAY
        return start, end, HalfDay.STATED
    stated = h1 > 12 or h2 > 12 or h1 == 0 or first.startswith("0")
    return h1 * 60 + int(m1 or 0), h2 * 60 + int(m2 or 0), HalfDay.STATED if stated else HalfDay.OPEN


def _to_minutes(hour: int, minute: str | None, half: str) -> int:
    if hour <= 12:
        hour = hour % 12 + (12 if half.startswith(("p", "n")) else 0)
    return hour * 60 + int(minute or 0)


def _single(match: Match) -> tuple[int, HalfDay] | None:
    first = match["h1"]
    if first is None:
        military = match["mil1"]
        return int(military[:2]) * 60 + int(military[2:]), HalfDay.STATED
    hour, minute, half = int(first), match["m1"], (match["ap1"] or "").lower()
    if hour > 23 or not (minute or half):
        return None
    if half:
        return _to_minutes(hour, minute, half), HalfDay.STATED
    stated = hour > 12 or hour == 0 or first.startswith("0")
    return hour * 60 + int(minute or 0), HalfDay.STATED if stated else HalfDay.OPEN


def _labelled_pairs(folded: Folded, taken: _Taken, dates: _Dates, all_stops: Sequence[Match]) -> Iterator[ClockRange]:
    """ "Start time: 2:00 PM ... Stop time: 2:45 PM", also where the two stand in different lines."""
    free = [m for m in _looked_at(time_words.START, folded) if m.span() not in taken and _of_contact(folded, m)]
    if not free:
        return
    stops = [(m, at) for m in all_stops if m.span() not in taken and (at := _single(m)) is not None]
    places = [m.start() for m, _ in stops]
    for index, start in enumerate(free):
        first, (begin, end) = _single(start), start.span()
        if first is None:
            continue
        limit = free[index + 1].start() if index + 1 < len(free) else end + 600
        near = stops[bisect_left(places, end) : bisect_right(places, min(limit, end + 600))]
        stop, last = near[0] if near else (None, None)
        begins, ends = first[0], last[0] if last else None
        half = first[1]
        if last and last[1] is HalfDay.STATED and half is HalfDay.OPEN:
            half = HalfDay.STATED
            begins = begins + 720 if begins + 720 <= last[0] and begins < 720 and last[0] - begins > 480 else begins
        elif last and half is HalfDay.STATED and last[1] is HalfDay.OPEN and ends is not None and ends < begins:
            ends += 720
        role = _role_of_clock(folded, (begin, end), labelled=True)
        dated = dates.over(end if "/" in folded.text[begin:end] else begin)  # "Start: 03/02/2026 2:00 PM"
        yield ClockRange((begin, stop.end() if stop else end), begins, ends, half, role, dated)


def _durations(folded: Folded) -> Iterator[Duration]:
    taken = _Taken(len(folded.text))
    for match in _looked_at(time_words.LABELLED_NUMBER, folded):
        taken.add(match.span())
        clause = _Clause(folded, match.span())
        yield clause.duration(
            int(match["hh"]) * 60 + int(match["mm"]) if match["hh"] else int(match["n"] or match["n2"]), Role.SESSION
        )
    for match in _looked_at(time_words.DURATION, folded):
        if match.span() in taken:
            continue
        clause = _Clause(folded, match.span())
        minutes = _minutes_of(match)
        yield clause.duration(minutes, _role_of_duration(folded.text, clause, minutes))


def _minutes_of(duration: Match) -> int:
    minutes, part = duration["minutes"], duration["part"]
    if part is not None:
        return {"half": 30, "quarter": 15}.get(part.lower(), 45)
    return int(_number(minutes) if minutes is not None else _number(duration["hours"]) * 60 + _number(duration["more"]))


def _number(text: str | None) -> float:
    if not text:
        return 0
    text = text.lower()
    if text[0].isdigit():
        return float(text)
    if text in ("a", "an"):
        return 1
    tens, _, ones = re.sub(r"[- ]", " ", text).partition(" ")
    return time_words.TENS.get(tens, time_words.ONES.get(tens, 0)) + time_words.ONES.get(ones, 0)


_WINDOW = 160


def sentence(text: str, span: tuple[int, int]) -> tuple[str, str]:
    """The words before and after a span within its sentence."""
    begin = max(0, span[0] - _WINDOW)
    line = text.rfind("\n", begin, span[0])
    if line >= 0 and (line == begin or text[line - 1].isalnum()):  # a line's end that ends a sentence by itself
        begin = line + 1
    after = text[span[1] : span[1] + _WINDOW]
    ends = time_words.SENTENCE_END.search(after)
    return time_words.SENTENCE_END.split(text[begin : span[0]])[-1], after[: ends.start()] if ends else after


def _in_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and text[at - 1 : at + 1].replace("_", "a").isalnum()


class _Clause:
    """The words beside a span within its sentence, and the nearest of them."""

    def __init__(self, folded: Folded, span: tuple[int, int]) -> None:
        text = folded.text
        self.span, self._words = span, text[slice(*span)]
        before, after = sentence(text, span)
        cut = len(before) == _WINDOW or len(after) == _WINDOW or _in_word(text, span[0]) or _in_word(text, span[1])
        self._ruled_out = (
            0 if cut else folded.ruled_out
        )  # what cannot stand in the text cannot stand in whole words of it
        self.before, self.after = self._part(before), self._part(after)

    def _part(self, words: str, *, cut: bool = False) -> Folded:
        return Folded(words, 0 if cut else self._ruled_out)

    @once
    def nearest(self) -> tuple[Folded, Folded]:
        """The words before and after it up to the next comma, bracket or "and"."""
        before, after = (
            time_words.NEARBY.split(self.before.text)[-1],
            time_words.NEARBY.split(self.after.text, maxsplit=1)[0],
        )
        return self._part(before), self._part(after)

    @property
    def label(self) -> Folded:
        """The last of the words before it."""
        before = self.before.text
        return self._part(before[-90:], cut=len(before) > 90)

    def has(self, pattern: Pattern) -> bool:
        """Whether a pattern stands before or after the span."""
        if pattern.bit & self._ruled_out:
            return False
        return bool(pattern.search(self.before) or pattern.search(self.after))

    def near(self, pattern: Pattern) -> bool:
        """Whether a pattern stands right before or after the span; where nothing does, in what it is set apart from."""
        if pattern.bit & self._ruled_out:
            return False
        before, after = self.nearest
        if pattern.search(before) or pattern.search(after):
            return True
        return bool(self._set_apart and pattern.search(self._set_apart))

    @once
    def _set_apart(self) -> Folded | None:
        """The words before the comma or bracket that set the span apart, where there is nothing else beside it."""
        before, (_, after) = self.before.text, self.nearest
        cuts = [match.end() for match in time_words.NEARBY.finditer(before)]
        if not cuts or time_words.ANY_LETTER.search(after.text) or not time_words.MERE.fullmatch(before, cuts[-1]):
            return None
        begins = next((cut for cut in reversed([0, *cuts[:-1]]) if not time_words.MERE.fullmatch(before, cut)), 0)
        return self._part(before[begins:])

    def duration(self, minutes: int, role: Role) -> Duration:
        """The span as a stated number of minutes."""
        before, after = self.before.text, self.after.text
        cut = len(before) > 80 or len(after) > 40
        if not cut and time_words.PSYCHOTHERAPY.bit & self._ruled_out:
            return Duration(self.span, minutes, role)
        beside = self._part(f"{before[-80:]} {self._words} {after[:40]}", cut=cut)
        return Duration(
            self.span,
            minutes,
            role,
            of_psychotherapy=bool(time_words.PSYCHOTHERAPY.search(beside))
            and not time_words.NOT_GIVEN.search(beside)
            and not time_words.BOUND.search(self.before),
        )


def _of_contact(folded: Folded, told: Match) -> bool:
    """Whether what "began" or "ended" is the contact, and not something that the client tells of."""
    text, span = folded.text, told.span()
    if time_words.OF_RECORD.search(text, max(0, span[0] - 40), span[0]):
        return False
    if not time_words.TOLD.match(text, *span):
        return True
    before, _ = sentence(text, span)
    if time_words.REPORTED.search(before):
        return False
    while (
        earlier := time_words.TOLD_BEFORE.search(before)
    ) is not None:  # "began at 2:00 PM and ended at": by the first of them
        before = before[: earlier.start()]
    return not time_words.ANY_LETTER.search(before) or time_words.OF_CONTACT.search(before) is not None


_LONGEST_HEADING = 200


def _in_quotation(text: str, position: int) -> bool:
    return text.count('"', text.rfind("\n", 0, position) + 1, position) % 2 == 1


def _role_of_clock(folded: Folded, span: tuple[int, int], *, labelled: bool = False) -> Role:
    """A clock range is a session's only where something beside it says so: a label, a verb of contact, a line of its own."""
    text = folded.text
    if _in_quotation(text, span[0]):
        return Role.OTHER
    span = (span[0], span[0] + len(text[slice(*span)].rstrip()))  # else the next line would seem to speak of it
    clause = _Clause(folded, span)
    if clause.near(time_words.INTERRUPTS):
        return Role.INTERRUPTION
    if clause.near(time_words.NEVER_COUNTS):
        return Role.NOT_COUNTABLE
    if _of_somebody_else(clause):
        return Role.OTHER
    before, line = clause.before, text[line_of(text, span) : span[0]]
    weekday = clause.has(time_words.WEEKDAY) and not time_words.DATE.search(line)
    if weekday or time_words.ELSEWHERE.search(clause.nearest[0] if labelled else before):
        return Role.OTHER
    if (
        labelled
        or time_words.CLOCK_LABEL.search(before)
        or time_words.GIVEN.search(before)
        or time_words.GIVEN.search(clause.nearest[1])
    ):
        return Role.SESSION
    if not before.text.strip() and time_words.CLOCK_LABEL.search(
        line.rstrip(" .")
    ):  # "Group, session 5 of 12. 6:00 to 7:20 PM."
        return Role.SESSION
    heads_line = len(line) < _LONGEST_HEADING and not time_words.ANY_LETTER.search(
        time_words.INTRODUCES.sub("", _without_dates(line))
    )
    stands_alone = time_words.STANDS_ALONE.match(text, span[1]) or time_words.LEADING_CUE.match(clause.after)
    return Role.SESSION if heads_line and stands_alone else Role.OTHER


def _of_somebody_else(clause: _Clause) -> bool:
    """A visit of the client's with others, an appointment's new time, an attack: no time of this contact."""
    own = time_words.OWN_AFFAIR.search(clause.before) and clause.has(time_words.WITH_OTHERS)
    return bool(own or time_words.NO_SESSION.search(clause.before))


def _role_of_duration(text: str, clause: _Clause, minutes: int) -> Role:
    if (
        _in_quotation(text, clause.span[0])
        or _of_somebody_else(clause)
        or time_words.NOT_TICKED.search(clause.before.text)
        or (
            minutes in time_words.DESCRIBED
            and time_words.NAME_OF_CODE.search(text, line_of(text, clause.span), clause.span[0])
        )
    ):
        return Role.ANOTHER
    before, after = clause.before, clause.after
    if clause.near(time_words.NEVER_COUNTS):
        apart = not time_words.PART.search(before) and (clause.has(time_words.APART) or clause.near(time_words.PLANNED))
        return Role.NOT_COUNTABLE if apart else Role.UNCLEAR
    if clause.near(time_words.INTERRUPTS):
        return (
            Role.UNCLEAR
            if time_words.SEVERAL.search(before.text) or time_words.REPEATED.search(after)
            else Role.INTERRUPTION
        )
    session = Role.UNCLEAR if time_words.BOUND.search(before) else Role.SESSION
    if time_words.LABEL_BEFORE.search(clause.label) and not time_words.ELSEWHERE.search(clause.nearest[1]):
        return Role.ANOTHER if time_words.AIMED.search(before) else session
    if clause.has(time_words.ELSEWHERE) or time_words.WEEKDAY.search(after):
        return Role.UNCLEAR if time_words.LEFT_EARLY.search(before.text) else Role.ANOTHER
    if time_words.RECALLED.search(before):
        return Role.ANOTHER
    if time_words.PART.search(before) and not time_words.VERB_BEFORE.search(before):
        return Role.UNCLEAR
    return session if time_words.VERB_BEFORE.search(before) or time_words.NOUN_AFTER.search(after) else Role.OTHER


class _Dates:
    """The dates of a text, found once, where somebody asks: (year or None, month, day) by the place where each ends."""

    def __init__(self, folded: Folded) -> None:
        self._text, self._folded = folded.text, folded

    @once
    def _found(self) -> tuple[list[int], list[Match]]:
        found = list(time_words.NEAR_DATE.finditer(self._folded))
        return [match.end() for match in found], found

    def over(self, position: int) -> tuple[int | None, int, int] | None:
        """The date that a time stands under: before it in its line, or in a heading just above."""
        text = self._text
        line = text.rfind("\n", 0, position) + 1
        own = self._last(line, position)
        if own is not None or line == 0:
            return own
        end = line - 1
        while end > 0 and text[end - 1] == "\n":
            end -= 1
        start = text.rfind("\n", 0, end) + 1
        return self._last(start, end) if text[max(start, end - 200) : end].rstrip().endswith(":") else None

    def _last(self, start: int, end: int) -> tuple[int | None, int, int] | None:
        if not time_words.OF_DATE.search(self._text[start:end]):
            return None
        ends, found = self._found
        index = bisect_right(ends, end) - 1
        return _near_date(found[index]) if index >= 0 and ends[index] > start else None


def _without_dates(line: str) -> str:
    kept, end = [], 0
    for match in time_words.DATE.finditer(line):
        kept.append(line[end : match.start()])
        end = match.end()
    return "".join([*kept, line[end:]])


def _near_date(match: Match) -> tuple[int | None, int, int]:
    name = match["name"] or match["name2"]
    if name:
        year = match["ny"] or match["ny2"]
        return (
            (int(year) if year else None),
            time_words.MONTHS.index(name[:3].lower()) + 1,
            int(match["nd"] or match["nd2"]),
        )
    if match["iso"]:
        on = match["iso"].split("-")
        return int(on[0]), int(on[1]), int(on[2])
    year = match["y"]
    return (int(year) % 100 + 2000 if year else None), int(match["m"]), int(match["d"])
