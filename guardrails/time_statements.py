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

from guardrails.once import once
from guardrails.patterns import Folded, Match, Pattern, Sieve

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


_HOUR = r"(?P<h{n}>\d{{1,2}})(?:[:.](?P<m{n}>[0-5]\d))?"
_HALF = r"(?P<ap{n}>[ap]\.\s?m\.|[ap]\.?\s?m\b|[ap]\b|noon\b)?"
_TIME = rf"{_HOUR}\s*{_HALF}"
_TIME_FIRST = rf"{_HOUR}\s*+{_HALF}"  # before a further run of blanks, with which it does not share its own
_MILITARY = r"(?P<h{n}>[01]\d|2[0-3])(?P<m{n}>[0-5]\d)(?P<ap{n}>)(?:\s?(?:h|hrs?|hours)\b)?"
_TO = r"\s*(?:-|\bto\b|\buntil\b|\btill\b|\bthrough\b)\s*"
_RANGE = Pattern(rf"(?<![\d/.$#-]){_TIME_FIRST.format(n=1)}{_TO}{_TIME.format(n=2)}(?![\d/%-])", re.IGNORECASE)
_BETWEEN = Pattern(
    rf"(?<=\bbetween )\s*{_TIME_FIRST.format(n=1)}\s*\band\s*{_TIME.format(n=2)}(?![\d/%-])", re.IGNORECASE
)
_IN_OUT = Pattern(
    rf"\bin:?\s+{_TIME_FIRST.format(n=1)}[\s,;|/]*\bout:?\s+{_TIME.format(n=2)}(?![\d/%-])", re.IGNORECASE
)
_IN_OUT_MILITARY = Pattern(
    rf"\bin:?\s+{_MILITARY.format(n=1)}[\s,;|/]*\bout:?\s+{_MILITARY.format(n=2)}(?![\d/%-])", re.IGNORECASE
)
_MILITARY_RANGE = Pattern(rf"(?<![\d/.$#-]){_MILITARY.format(n=1)}{_TO}{_MILITARY.format(n=2)}(?![\d/%-])", re.I)
# possessive throughout: a run of blanks from a table's padding must not be tried in every split
_GAP = (
    r"(?:\s*+(?:time|clock)?+(?:\s*+(?:of\s+)?(?:session|service|contact))?+\s*+(?:\([^)\n]{0,20}\))?+"
    r"\s*+(?:[:=|\t-]|\bat\b|\bis\b|\bwas\b)?+\s*+(?:\d{1,2}/\d{1,2}/(?:\d{4}|\d\d)(?:,|\s+at\b)?\s++)?+)"
)
_START = Pattern(
    rf"\b(?:(?:(?:session|service|contact|visit|group|meeting|encounter)\s+)?(?:start(?:ed|s|ing)?|beg[aiu]n(?:ning|s)?|commenced?|open(?:ed|ing))|time\s+in|clock(?:ed)?\s+in|on\s+scene|arriv(?:al|ed)(?:\s+late)?|(?:joined|connected)(?:\s+late)?|logged\s+(?:on|in)(?:\s+late)?|came(?:\s+in)?|showed\s+up|got\s+here|checked\s+in|reconnected|resumed|(?<=\n)in(?=\s*[:|\t])|^in(?=\s*[:|\t]))\b{_GAP}{{1,2}}+"
    rf"(?:{_TIME.format(n=1)}|(?P<mil1>[01]\d[0-5]\d|2[0-3][0-5]\d))(?![\d/%])",
    re.IGNORECASE,
)
_STOP = Pattern(
    rf"\b(?:(?:(?:session|service|contact|visit|group|meeting|encounter)\s+)?(?:stop(?:ped|s)?|end(?:ed|s|ing)?|finish(?:ed)?|conclud(?:ed|es)|complet(?:ed|ion)|clos(?:ed|ing)|wrapped\s+up|adjourned|terminated|hung\s+up|walked\s+out|logged\s+off|cut\s+short|dropped\s+off)|time\s+out|clock(?:ed)?\s+out|cleared|depart(?:ure|ed)|left(?:\s+(?:the\s+)?(?:house|home|apartment|residence|school|site|hospital|office|session)\s+at)?|out(?=\s*[:|\t]))\b{_GAP}{{1,2}}+"
    rf"(?:{_TIME.format(n=1)}|(?P<mil1>[01]\d[0-5]\d|2[0-3][0-5]\d))(?![\d/%])",
    re.IGNORECASE,
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_ONES = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "thirteen": 13,
    "fourteen": 14,
    "fifteen": 15,
    "sixteen": 16,
    "seventeen": 17,
    "eighteen": 18,
    "nineteen": 19,
}
_WORD_NUMBER = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(list(_ONES)[:9])}))?|{'|'.join(_ONES)}|an?(?=\s+hour))"
_NUMBER = rf"(?:\d{{1,4}}(?:\.\d{{1,2}})?|{_WORD_NUMBER})"
_HOURS = r"(?:hours?|hrs?\.?|h)\b"
_MINUTES = r"(?:minutes?|mins?\.?)(?!\w)"
_DURATION = Pattern(  # ahead of all a number with an h or m behind it: most words go no further
    rf"(?<![\w.:/-])(?:(?={_NUMBER}[\s-]*[hm])(?:(?P<hours>{_NUMBER})[\s-]*{_HOURS}(?:,?\s*(?:and\s+)?(?P<more>{_NUMBER})[\s-]*(?:{_MINUTES}|m\b))?"
    rf"|(?P<minutes>{_NUMBER})[\s-]*{_MINUTES})|(?P<part>half|three[ -]quarters|quarter)(?:[ -]of)?(?:[ -]an?)?[ -]hour\b)",
    re.IGNORECASE,
)
# "Total minutes: 45", "Session length (min): 45"
_LABELLED_NUMBER = Pattern(
    r"\b(?:(?:total|session|service|contact|face[- ]to[- ]face|psychotherapy|therapy|direct|billable)\s+(?:time|minutes|mins?|length|duration)"
    r"|duration|length of (?:session|service|contact|visit))\s*(?:of (?:session|service))?\s*\((?:in )?min(?:ute)?s?\.?\)\s*[:=|]?\s*(?P<n>\d{1,4})\b(?!\s*[:/.]\d)"
    r"|\b(?:total|session|service|contact|direct|face[- ]to[- ]face|psychotherapy)\s+minutes(?: of (?:session|service))?\s*[:=|]?\s*(?P<n2>\d{1,4})\b(?!\s*[:/.]\d)"
    r"|\b(?:total(?: time)?|duration|length(?: of session)?)\s*[:=|]\s*(?P<hh>\d{1,2}):(?P<mm>[0-5]\d)\b(?!\s*(?:[ap]\.?m|-|to\b))",
    re.IGNORECASE,
)
_DATE = Pattern(
    r"\b(?:(?P<m>\d{1,2})(?:[/-](?P<d>\d{1,2})[/-](?P<y>\d{4}|\d{2})|\.(?P<d2>\d{1,2})\.(?P<y2>\d{4}))|(?P<iso>\d{4}[-/]\d{2}[-/]\d{2})|"
    r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+(?P<nd>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<ny>\d{4})|"
    r"(?P<nd2>\d{1,2})(?:st|nd|rd|th)?(?:\s+|-)(?P<name2>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?(?:\s+|-)(?P<ny2>\d{4}))\b",
    re.IGNORECASE,
)
_NEAR_DATE = Pattern(
    r"(?<![\d/:.])(?:(?P<iso>\d{4}-\d{2}-\d{2})|(?P<m>1[0-2]|0?[1-9])[/-](?P<d>3[01]|[12]\d|0?[1-9])(?:[/-](?P<y>\d{4}|\d{2}))?(?![\d/:])"
    r"|(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+(?P<nd>\d{1,2})(?!\d|:)(?:,?\s+(?P<ny>\d{4}))?"
    r"|(?P<nd2>\d{1,2})\s+(?P<name2>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?:\s+(?P<ny2>\d{4}))?)",
    re.IGNORECASE,
)
_OF_DATE = re.compile(
    r"\d|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec", re.IGNORECASE
)  # one is in any date's last word
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

_NEVER_COUNTS = Pattern(
    r"\b(?:non[- ]?billable|document(?:ing|ation)|charting|paperwork|writing (?:the |this |up )?(?:note|report)|note[- ]writing|travel(?:led|ing)?|driv(?:e|ing)|drove"
    r"|transport(?:ed|ing|ation)?|wait(?:ed|ing)?|scheduling|supervision|staff meeting|voicemail|no[- ]?show|asleep|lunch|meals?)\b",
    re.IGNORECASE,
)
_INTERRUPTS = Pattern(
    r"\b(?:breaks?|interrupt\w*|left the (?:room|session|office|building)|stepped (?:out|away|outside)|paused?|restroom|bathroom|smoke[d]?"
    r"|out of (?:the |his |her |their )?(?:room|office|session)|fire (?:drill|alarm)|took a (?:phone )?call|on the phone with|disconnect\w*|lost (?:the )?(?:connection|internet|video|audio|signal)|dropped call|tech(?:nical|nology)? (?:difficult|issue|problem)\w*|(?:connection|video|audio|call|internet|signal)\b.{0,20}?\b(?:lost|dropped|froze|cut out))\b",
    re.IGNORECASE,
)
_ELSEWHERE = Pattern(
    r"\b(?:weekly|monthly|daily|nightly|bi-?weekly|per (?:week|day|month)|a (?:day|week|night|month)|(?:each|every|most|some) (?:other )?(?:week|day|morning|evening|night|time|month)"
    r"|will|plans? to|planned|homework|practi[cs]e (?:at home|for|daily)|next|upcoming|schedul(?:ed|e)|recommend\w*|frequency|objectives?|goals?|previous(?:ly)?|prior|last (?:session|visit|week|time|night|month)"
    r"|late|early|rtc|refer(?:red|ral|s)?|booked|reserved|authoriz\w*|approved|watch(?:ed|ing)?|naps?|napped|takes|hours|sleep\w*|slept|asleep|awake|bed|ago|usually|typically|average|walk(?:s|ed|ing)?|exercis\w+|after work|shift|works|(?:client|pt|he|she|they|who|at|from|to) work|work (?:hours|schedule|day)|appointment|return(?:s)? (?:on|in)|tomorrow|yesterday|x ?/|times?/|up to|before (?:school|work|bed)|office hours|long[- ]term|target|within|template)\b"
    r"|/\s?(?:week|wk|day|mo(?:nth)?)\b|\bx\s?/|\d\s?x\b",
    re.IGNORECASE,
)
_PLANNED = Pattern(
    r"\b(?:will|weekly|daily|next|plans?|each|every|usual(?:ly)?|per (?:day|week|month))\b", re.IGNORECASE
)
_WEEKDAY = Pattern(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b", re.IGNORECASE)
# a part of the session, of which the note does not say that it is none
_PART = Pattern(
    r"\b(?:of (?:these|which|this)|first|last|left early|alone|ended early|includ(?:es|ed|ing)|was present for)\b",
    re.IGNORECASE,
)
# "through the last six hours" tells of the time before
_RECALLED = Pattern(r"\b(?:over|through|in|for|within|during) the (?:last|past|first)\s*$", re.IGNORECASE)
_APART = Pattern(
    r"\b(?:plus|added|in addition|additional|not (?:counted|included|part|billed|billable)|before|after(?:wards?)?|separate(?:ly)?|excluding|outside)\b|\+",
    re.IGNORECASE,
)
_LABEL_BEFORE = Pattern(
    r"(?:(?:total|session|service|contact|visit|encounter|face[- ]to[- ]face|psychotherapy|therapy|treatment|direct|billable|actual|counseling|group)\s+(?:\w+\s+){0,2}?(?:time|length|duration|minutes)"
    r"|time on [^.\n;:]{3,60}|duration|length(?: of (?:the )?(?:session|service|visit|contact|group|meeting|interview|assessment))?|time(?: spent(?: [\w-]+){0,4})?|total|billable)\s*(?:\([^)\n]{0,40}\))?\s*(?:of (?:session|service|contact|psychotherapy))?\s*(?:[:=|\t]|\bis\b|\bwas\b|\bof\b)\s*$"
    r"|(?:\btime in\s+)?\b(?:psychotherapy|therapy|counseling|face[- ]to[- ]face)\s+$"
    r"|^\W*total (?:session |service |contact |face[- ]to[- ]face )?(?:time|minutes|duration)\s+$",
    re.IGNORECASE,
)
_CONTACT = r"(?:session|visit|contact|service|encounter|psychotherapy|therapy|counseling)"
_OUR_CONTACT = r"(?:the|this|today's|our)\s+(?:\w+\s+){0,2}?(?:meeting|group|interview|appointment|hour|assessment)"
_STAFF = r"(?:we|i|staff|therapist|clinician|counselor|counsellor|writer|worker|provider|facilitator)"
_VERB_BEFORE = Pattern(
    rf"(?:(?:\b{_CONTACT}s?|\b{_OUR_CONTACT})\s+(?:\w+\s+){{0,3}}?(?:last(?:ed|ing)|was|of|for|ran|took|total(?:l?ed|ing)?|came to|went(?: on)?)(?: for)?"
    rf"|\b{_STAFF}\s+(?:\w+\s+){{0,2}}?(?:spent|(?:met|sat|talked|worked|spoke|provided|conducted|held|saw)\b[^.\n;]{{0,50}}?\bfor)"
    rf"|\b(?:client|patient|pt|ct|consumer|member|individual)\s+(?:was|were)\s+seen\b[^.\n;]{{0,50}}?\bfor"
    r"|(?:^|[.:]\s*)\s*(?:spent|(?:met|seen|sat|worked|spoke|provided|conducted)\b[^.\n;]{0,50}?\bfor)"
    r"|^\s*lasted)\s*(?:a total of |a full |approximately |about |exactly |just under |just over )?$",
    re.IGNORECASE,
)
_NOUN_AFTER = Pattern(
    r"^[\s-]*(?:\(?(?:\w+[\s-]+){0,3}?(?:session|visit|contact|interview|psychotherapy|therapy|counseling|face[- ]to[- ]face|in[- ]person|group|meeting|appointment)\b"
    r"|of (?:\w+[\s-]+){0,3}?(?:psychotherapy|therapy|counseling|face|skills|training|direct|service|contact|treatment|rehabilitation|assessment|session)"
    r"|(?:were |was )?spent (?:in|on|with)|total\b|with (?:the )?(?:client|patient)|face[- ]to[- ]face|in session|duration|in (?:total|length|duration|all)|altogether|all told|together|long\b|(?:from )?start to finish)",
    re.IGNORECASE,
)
_GIVEN = Pattern(
    r"\b(?:seen|met|attended|provided|conducted|held|completed|facilitated|received|participated|engaged|delivered|today|this (?:session|visit|contact|meeting|group|service))\b",
    re.IGNORECASE,
)
_CLOCK_LABEL = Pattern(
    r"\b(?:times?|session|service|contact|visit|encounter|start|stop|began|ended|in/out|seen|met|meeting|group|interview|assessment|evaluation|psychotherapy|therapy|counseling|training|testing|"
    r"screening|planning|treatment|hour|date|dos|duration|length|clock|held|call)\b[^.\n;]{0,60}$|\b\d{1,2}/\d{1,2}(?:/\d{2,4})?\W{0,6}$",
    re.IGNORECASE,
)
_LEADING_CUE = Pattern(
    r"\W*(?:f2f|face|in[- ]person|1:1|indiv|session|client|ct|pt|patient|clinic|office|home|school|community|telehealth|video|at\b|in\b)",
    re.IGNORECASE,
)
_SESSION_LABEL = Pattern(
    r"\b(?:time|start|stop|begin|end|session|service|seen|met|in/out|attended|held|conducted|from|between)\b[^.\n]{0,40}$",
    re.IGNORECASE,
)

# "Time: 10-11"; a score that "went from 6 to 3" is no time
_BARE_LABEL = Pattern(r"\b(?:times?|session|hours|seen|met)(?:\s+(?:from|between))?\s*[:|]?\s*$", re.IGNORECASE)

# a plan's or a payer's minutes, not the session's
_AIMED = Pattern(r"\b(?:planned|scheduled|frequency|target|goal|objective|authoriz\w*)\b", re.IGNORECASE)
_THEY = r"(?:client|patient|pt|ct|he|she|they)"
_ABOUT = r"(?:about |approximately |some )?"
_CAME_OR_WENT = (  # an interruption, or a session that began or ended otherwise than its times may say
    rf"{_THEY}\s+(?:stepped (?:out|away|outside)|left the (?:room|session|office)|left early(?! from)|was out of the room)(?! at the end| calm| smil)",
    rf"{_THEY}\s+(?:left|ended|stopped|finished) {_ABOUT}\d{{1,3}}[ -]*min(?:ute)?s? early\b",
    rf"{_THEY}\s+(?:asked|had|needed|chose|wanted) to (?:leave|end|stop) (?:{_ABOUT}\d{{1,3}}[ -]*min(?:ute)?s? )?(?:early\b(?=[ ]?[.,;\n]| (?:today|due|because))|at \d)",
    r"connection (?:was )?(?:lost|dropped)|joined (?:the )?(?:session|video|call) (?:late|at \d)",
    r"(?:took|had|needed) (?:a|an|two|three|several|some) (?:\w+[- ]){0,2}breaks?|break from \d",
    r"(?:session|visit|appointment|contact) (?:was )?(?:ended|stopped|cut|terminated|started|began) (?:early|short|late)\b",
    # late, and no word before or behind it says for what else
    rf"(?:(?<!when )(?<!if ){_THEY}\s+(?:was|were|ran|(?:was|is) running|arrived|came|joined|showed up|logged (?:on|in)|connected)|(?:^|(?<=[.;\n] ))arrived)\s+"
    rf"(?:{_ABOUT}{_NUMBER}[ -]*min(?:ute)?s? |(?:a (?:few|little|bit) |several |very )*)late\b"
    r"(?! (?:on|with|in|again|\w+ing|because|last|twice|fees?|at night|(?:to|for) (?!(?:the |this |today's |our |group |family )*(?:session|appointment|visit|group|meeting|contact))))",
)
_LEFT = Pattern(rf"\b(?:{'|'.join(_CAME_OR_WENT)})", re.IGNORECASE | re.MULTILINE)
_OWN_AFFAIR = Pattern(  # the client's, not this contact
    rf"\b{_THEY}\s+(?:had|met|attended|received|completed|saw|visited)\b(?:(?!\bsession\b)[^.;\n]){{0,40}}$",
    re.IGNORECASE,
)
_WITH_OTHERS = Pattern(
    r"\b(?:with|from) (?:his|her|their|an?|the) (?:pcp|doctor|lawyer|attorney|probation|dentist|psychiatrist|daughter|son|friend|sponsor|boss|teacher)|\bcourt\b|\blawyer\b|\bpcp\b|\b(?:from|with) dr\b|\bphysical therapy\b",
    re.IGNORECASE,
)
_NO_SESSION = Pattern(
    r"\b(?:rescheduled|moved|changed) (?:to|for)\s*$|\bnot an?\s*$|\b(?:panic attacks?|tantrum|argument|meltdown|seizure)\b(?:(?!\b(?:session|psychotherapy|therapy)\b)[^.;\n]){0,30}$",
    re.IGNORECASE,
)
_NEARBY = re.compile(r"[,()+]|\s-\s|\band\b|\bplus\b", re.IGNORECASE)
_MERE = re.compile(  # words that say nothing of what the time was
    r"\W*(?:(?:for|about|approximately|approx|around|roughly|some|x|of|a|an|the|another|only|lasting|lasted)\b\W*)*",
    re.IGNORECASE,
)
_BOUND = Pattern(  # no more than the time that follows, and nobody knows how much less
    r"\b(?:under|below|less than|shy of|almost|nearly|close to|not quite|at most|no (?:more|longer) than)\s*$",
    re.IGNORECASE,
)
_REPEATED = Pattern(r"^\W*(?:\w+\W+){0,2}?(?:x\s?[2-9]|twice|(?:two|three|four|several) times)\b", re.IGNORECASE)
# "began", "ended": of the contact, or of what the client tells of?
_BEGAN = r"start(?:ed|s)|beg[au]n|begins|commenced|opened|arrived|joined|connected"
_TOLD = re.compile(
    rf"(?:{_BEGAN}|logged|came|showed|got|checked|reconnected|resumed|terminated|hung|walked|cut|dropped|stop(?:ped|s)|end(?:ed|s)|finished|conclud\w+"
    r"|completed|closed|departed|left)\b(?!\s*[:=|\t])",
    re.IGNORECASE,
)
_TOLD_BEFORE = re.compile(
    rf"\b(?:{_BEGAN}|logged (?:on|in))\W*(?:at\W*)?\d{{1,2}}(?:[:.]?\d\d)?\W*(?:[ap]\.?m\b)?\W*(?:(?:and|then|also)\W+)*$",
    re.IGNORECASE,
)
_REPORTED = Pattern(
    r"\b(?:that|sa(?:id|ys)|report(?:ed|s)|stat(?:ed|es)|told|tells|shared?s?(?! (?:an?|the|some|his|her) )|describe[ds]?|recall(?:ed|s)|explain(?:ed|s)|recounted|according to)\b",
    re.IGNORECASE,
)
_WHO = r"(?:we|i|chw|qmh[sp]|cps|qp|peer|coach|mentor|specialist|aide|tech(?:nician)?|nurse|advocate|navigator|staff|writer|therapist|clinician|counsell?or|provider|worker|manager|facilitator|client|patient|pt|ct|member|consumer|individual|he|she|they|it)"
_WHAT = r"(?:time|sessions?|services?|lesson|outing|practice|teaching|skills?(?: \w+)?|rehab(?:ilitation)?|zoom|video(?: link)?|time together|contact|visit|group|meeting|encounter|appointment|interview|assessment|evaluation|intake|treatment|psychotherapy|therapy|counseling|telehealth|call|class|training|activity)"
_OF_CONTACT = Pattern(
    rf"\b(?:{_WHO}|{_WHAT})(?:\s+(?:was|were|is|has|had|then|also|both|and))*\W*$|^\W*(?:\w+\W+){{0,4}}{_WHAT}\b",
    re.IGNORECASE,
)
_RESTATES = re.compile(
    r"[\s(=,;:|-]*(?:for |i\.e\.,? |total(?: time)?(?: of)?:? ?|or |duration:? ?)?[\s(]*$", re.IGNORECASE
)


class Crowded(Exception):
    """More times are stated than can be told apart."""


def read_times(text: str) -> tuple[TimeStatement, ...]:
    """The durations and clock times of a note, in the order of the text.

    Raises:
        Crowded: there are more than `MOST_TIMES`.
    """
    return times_and_stops(SIEVE.fold(text))[0]


def times_and_stops(folded: Folded) -> tuple[tuple[TimeStatement, ...], tuple[LoneStop, ...]]:
    """The times of a note as `read_times`, and the stop times that belong to no start of it.

    Raises:
        Crowded: there are more than `MOST_TIMES` of either.
    """
    stops = [stop for stop in _looked_at(_STOP, folded) if _of_contact(folded, stop)]
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
    for number, match in enumerate(pattern.finditer(folded) if pattern is _DURATION else pattern.near_digits(folded)):
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
                and _RESTATES.fullmatch(text[each.span[1] : duration.span[0]])
            ):
                return replace(duration, role=Role.SESSION)
    return duration


def unclear_interruption(folded: Folded, statements: tuple[TimeStatement, ...]) -> tuple[int, int] | None:
    """Words of an interruption whose length no statement in the same clause gives."""
    for match in _LEFT.finditer(folded):
        before, after = sentence(folded.text, match.span())
        start, end = match.start() - len(before), match.end() + len(after)
        said = any(start <= each.span[0] < end and each.role not in _OTHERS for each in statements)
        if not (said or _REPORTED.search(before) or _allowed_for(match[0].lower(), f"{match[0]}{after}", statements)):
            return match.span()
    return None


_A_TIME = re.compile(r"\b(\d{1,2}):([0-5]\d)\b")


def _allowed_for(said: str, told: str, statements: tuple[TimeStatement, ...]) -> bool:
    """Whether the session's start, or its stop, is when the client came or left: the time that is told, or no appointment's."""
    sessions = {(s.start, s.end) for s in statements if isinstance(s, ClockRange) and s.role is Role.SESSION and s.end}
    late, early = "late" in said, "early" in said or "short" in said
    if len(sessions) != 1 or not (late or early):
        return False
    ((start, end),) = sessions
    edge = start if late else end or 0
    return edge % 15 != 0 or edge % 720 in {(60 * int(h) + int(m)) % 720 for h, m in _A_TIME.findall(told)}


def line_of(text: str, span: tuple[int, int]) -> int:
    """Where the line that a span begins in begins."""
    return text.rfind("\n", 0, span[0]) + 1


def is_given_now(folded: Folded, span: tuple[int, int]) -> bool:
    """Whether the clause around a span speaks of this contact: given, and not planned, recommended or recalled."""
    clause = _Clause(folded, span)
    return clause.has(_GIVEN) and not clause.has(_ELSEWHERE)


def dates_in(text: str | Folded, start: int = 0, end: int | None = None) -> Iterator[tuple[int, date]]:
    """The calendar dates of a text (US month/day order) with their places; impossible dates are left out."""
    for match in _DATE.finditer(text, start, end):
        try:
            if (stated := match["y"] or match["y2"]) is not None:
                year = int(stated)
                day = int(match["d"] or match["d2"])
                yield match.start(), date(year if year > 99 else 2000 + year, int(match["m"]), day)
            elif (iso := match["iso"]) is not None:
                yield match.start(), date.fromisoformat(iso.replace("/", "-"))
            else:
                month = _MONTHS.index((match["name"] or match["name2"])[:3].lower()) + 1
                yield match.start(), date(int(match["ny"] or match["ny2"]), month, int(match["nd"] or match["nd2"]))
        except ValueError:
            continue


def _clock_ranges(folded: Folded, stops: Sequence[Match]) -> Iterator[ClockRange]:
    text, taken, dates = folded.text, _Taken(len(folded.text)), _Dates(folded)
    for pattern in (_RANGE, _BETWEEN, _MILITARY_RANGE, _IN_OUT, _IN_OUT_MILITARY):
        labelled = pattern in (_IN_OUT, _IN_OUT_MILITARY)
        for match in _looked_at(pattern, folded):
            span = match.span()
            if span in taken:
                continue
            times = _times_of(
                match,
                military=pattern in (_MILITARY_RANGE, _IN_OUT_MILITARY),
                before="time " if labelled else text[max(0, span[0] - 60) : span[0]],
            )
            if times is None:
                continue
            start, end, half = times
            taken.add(span)
            role = _role_of_clock(folded, span, labelled=labelled)
            yield ClockRange(span, start, end, half, role, dates.over(span[0]))
    yield from _labelled_pairs(folded, taken, dates, stops)


_ANY_LETTER = re.compile(r"[A-Za-z]")
_DATE_BEFORE = re.compile(r"\b\d{1,2}/\d{1,2}/\d{2,4}[ \t]+$")
_INTRODUCES = re.compile(r"\b(?:from|between)\b", re.IGNORECASE)
_SEVERAL = re.compile(r"\b(?:two|three|four|several|[2-9])\s*$", re.IGNORECASE)
_LEFT_EARLY = re.compile(r"\bleft early\b", re.IGNORECASE)


def _times_of(match: Match, *, military: bool, before: str) -> tuple[int, int, HalfDay] | None:
    first = match["h1"]
    h1, h2 = int(first), int(match["h2"])
    m1, m2 = match["m1"], match["m2"]
    ap1, ap2 = (match["ap1"] or "").lower(), (match["ap2"] or "").lower()
    if military:
        # "1400-1445" is a time; "1000-1200 calories" is not: a label or an hours sign must stand beside it
        heads_line = not _ANY_LETTER.search(before.rpartition("\n")[2]) and (len(before) < 60 or "\n" in before)
        dated = _DATE_BEFORE.search(before)
        if not (heads_line or dated or _SESSION_LABEL.search(before) or "h" in match[0].lower()):
            return None
        return h1 * 60 + int(m1), h2 * 60 + int(m2), HalfDay.STATED
    if h1 > 23 or h2 > 23:
        return None
    if not (m1 or m2 or ap1 or ap2):
        if not _BARE_LABEL.search(before) or not (1 <= h1 <= 12 and 1 <= h2 <= 12):
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
    free = [m for m in _looked_at(_START, folded) if m.span() not in taken and _of_contact(folded, m)]
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
    for match in _looked_at(_LABELLED_NUMBER, folded):
        taken.add(match.span())
        clause = _Clause(folded, match.span())
        yield clause.duration(
            int(match["hh"]) * 60 + int(match["mm"]) if match["hh"] else int(match["n"] or match["n2"]), Role.SESSION
        )
    for match in _looked_at(_DURATION, folded):
        if match.span() in taken:
            continue
        clause = _Clause(folded, match.span())
        minutes = _minutes_of(match)
        yield clause.duration(minutes, _role_of_duration(folded.text, clause, minutes))


_PSYCHOTHERAPY = Pattern(
    r"\bpsychotherapy\b|(?<!physical )(?<!occupational )(?<!speech )(?<!light )(?<!music )(?<!group )(?<!respiratory )\btherapy\b",
    re.IGNORECASE,
)
_NOT_GIVEN = Pattern(  # psychotherapy declined, ordered, or somebody else's
    r"\b(?:declin\w+|refused|offer(?:s|ed)?|order(?:s|ed)?(?: of)?(?<!in order)(?<!in order of)|needs psychotherapy|not (?:provided|done|given|performed)|no psychotherapy|sees|attends|continues? (?:psycho)?therapy"
    r"|receiv(?:es|ing)|yesterday\S*|at school|group therapy|by (?-i:[A-Z]\b)|with (?:dr\b|an? (?:therapist|counselor|LCSW)|LCSW|therapist)|combined|or less|\[ ?\])",
    re.IGNORECASE,
)


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
    return _TENS.get(tens, _ONES.get(tens, 0)) + _ONES.get(ones, 0)


_SENTENCE_END = re.compile(r"[\n;]|[.!?](?:\s+(?=[A-Z0-9\"])|\s*$)")


_WINDOW = 160


def sentence(text: str, span: tuple[int, int]) -> tuple[str, str]:
    """The words before and after a span within its sentence."""
    begin = max(0, span[0] - _WINDOW)
    line = text.rfind("\n", begin, span[0])
    if line >= 0 and (line == begin or text[line - 1].isalnum()):  # a line's end that ends a sentence by itself
        begin = line + 1
    after = text[span[1] : span[1] + _WINDOW]
    ends = _SENTENCE_END.search(after)
    return _SENTENCE_END.split(text[begin : span[0]])[-1], after[: ends.start()] if ends else after


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
        before, after = _NEARBY.split(self.before.text)[-1], _NEARBY.split(self.after.text, maxsplit=1)[0]
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
        cuts = [match.end() for match in _NEARBY.finditer(before)]
        if not cuts or _ANY_LETTER.search(after.text) or not _MERE.fullmatch(before, cuts[-1]):
            return None
        begins = next((cut for cut in reversed([0, *cuts[:-1]]) if not _MERE.fullmatch(before, cut)), 0)
        return self._part(before[begins:])

    def duration(self, minutes: int, role: Role) -> Duration:
        """The span as a stated number of minutes."""
        before, after = self.before.text, self.after.text
        cut = len(before) > 80 or len(after) > 40
        if not cut and _PSYCHOTHERAPY.bit & self._ruled_out:
            return Duration(self.span, minutes, role)
        beside = self._part(f"{before[-80:]} {self._words} {after[:40]}", cut=cut)
        return Duration(
            self.span,
            minutes,
            role,
            of_psychotherapy=bool(_PSYCHOTHERAPY.search(beside))
            and not _NOT_GIVEN.search(beside)
            and not _BOUND.search(self.before),
        )


_OF_RECORD = re.compile(
    r"\b(?:notes?|documentation|charts?|forms?|paperwork|reports?|shift|pain|symptoms?)[ ]?\Z", re.IGNORECASE
)


def _of_contact(folded: Folded, told: Match) -> bool:
    """Whether what "began" or "ended" is the contact, and not something that the client tells of."""
    text, span = folded.text, told.span()
    if _OF_RECORD.search(text, max(0, span[0] - 40), span[0]):
        return False
    if not _TOLD.match(text, *span):
        return True
    before, _ = sentence(text, span)
    if _REPORTED.search(before):
        return False
    while (earlier := _TOLD_BEFORE.search(before)) is not None:  # "began at 2:00 PM and ended at": by the first of them
        before = before[: earlier.start()]
    return not _ANY_LETTER.search(before) or _OF_CONTACT.search(before) is not None


_LONGEST_HEADING = 200
_STANDS_ALONE = re.compile(r"[ \t]*(?:\Z|\n|[(|,.;\t]|\s{2})")


def _in_quotation(text: str, position: int) -> bool:
    return text.count('"', text.rfind("\n", 0, position) + 1, position) % 2 == 1


def _role_of_clock(folded: Folded, span: tuple[int, int], *, labelled: bool = False) -> Role:
    """A clock range is a session's only where something beside it says so: a label, a verb of contact, a line of its own."""
    text = folded.text
    if _in_quotation(text, span[0]):
        return Role.OTHER
    span = (span[0], span[0] + len(text[slice(*span)].rstrip()))  # else the next line would seem to speak of it
    clause = _Clause(folded, span)
    if clause.near(_INTERRUPTS):
        return Role.INTERRUPTION
    if clause.near(_NEVER_COUNTS):
        return Role.NOT_COUNTABLE
    if _of_somebody_else(clause):
        return Role.OTHER
    before, line = clause.before, text[line_of(text, span) : span[0]]
    weekday = clause.has(_WEEKDAY) and not _DATE.search(line)
    if weekday or _ELSEWHERE.search(clause.nearest[0] if labelled else before):
        return Role.OTHER
    if labelled or _CLOCK_LABEL.search(before) or _GIVEN.search(before) or _GIVEN.search(clause.nearest[1]):
        return Role.SESSION
    if not before.text.strip() and _CLOCK_LABEL.search(line.rstrip(" .")):  # "Group, session 5 of 12. 6:00 to 7:20 PM."
        return Role.SESSION
    heads_line = len(line) < _LONGEST_HEADING and not _ANY_LETTER.search(_INTRODUCES.sub("", _without_dates(line)))
    stands_alone = _STANDS_ALONE.match(text, span[1]) or _LEADING_CUE.match(clause.after)
    return Role.SESSION if heads_line and stands_alone else Role.OTHER


def _of_somebody_else(clause: _Clause) -> bool:
    """A visit of the client's with others, an appointment's new time, an attack: no time of this contact."""
    own = _OWN_AFFAIR.search(clause.before) and clause.has(_WITH_OTHERS)
    return bool(own or _NO_SESSION.search(clause.before))


_NOT_TICKED = re.compile(r"(?:\[[ \t]?\]|\([ \t]\)|[\u2610\u25a1])[^\[(\u2610\u2611\u2612\u25a1\n]*$")
_NAME_OF_CODE = re.compile(r"\b908(?:3[2-8])\b[^\n.;]{0,40}$")
_DESCRIBED = frozenset({16, 30, 38, 45, 53, 60})  # minutes that go with a code's name


def _role_of_duration(text: str, clause: _Clause, minutes: int) -> Role:
    if (
        _in_quotation(text, clause.span[0])
        or _of_somebody_else(clause)
        or _NOT_TICKED.search(clause.before.text)
        or (minutes in _DESCRIBED and _NAME_OF_CODE.search(text, line_of(text, clause.span), clause.span[0]))
    ):
        return Role.ANOTHER
    before, after = clause.before, clause.after
    if clause.near(_NEVER_COUNTS):
        apart = not _PART.search(before) and (clause.has(_APART) or clause.near(_PLANNED))
        return Role.NOT_COUNTABLE if apart else Role.UNCLEAR
    if clause.near(_INTERRUPTS):
        return Role.UNCLEAR if _SEVERAL.search(before.text) or _REPEATED.search(after) else Role.INTERRUPTION
    session = Role.UNCLEAR if _BOUND.search(before) else Role.SESSION
    if _LABEL_BEFORE.search(clause.label) and not _ELSEWHERE.search(clause.nearest[1]):
        return Role.ANOTHER if _AIMED.search(before) else session
    if clause.has(_ELSEWHERE) or _WEEKDAY.search(after):
        return Role.UNCLEAR if _LEFT_EARLY.search(before.text) else Role.ANOTHER
    if _RECALLED.search(before):
        return Role.ANOTHER
    if _PART.search(before) and not _VERB_BEFORE.search(before):
        return Role.UNCLEAR
    return session if _VERB_BEFORE.search(before) or _NOUN_AFTER.search(after) else Role.OTHER


class _Dates:
    """The dates of a text, found once, where somebody asks: (year or None, month, day) by the place where each ends."""

    def __init__(self, folded: Folded) -> None:
        self._text, self._folded = folded.text, folded

    @once
    def _found(self) -> tuple[list[int], list[Match]]:
        found = list(_NEAR_DATE.finditer(self._folded))
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
        if not _OF_DATE.search(self._text[start:end]):
            return None
        ends, found = self._found
        index = bisect_right(ends, end) - 1
        return _near_date(found[index]) if index >= 0 and ends[index] > start else None


def _without_dates(line: str) -> str:
    kept, end = [], 0
    for match in _DATE.finditer(line):
        kept.append(line[end : match.start()])
        end = match.end()
    return "".join([*kept, line[end:]])


def _near_date(match: Match) -> tuple[int | None, int, int]:
    name = match["name"] or match["name2"]
    if name:
        year = match["ny"] or match["ny2"]
        return (int(year) if year else None), _MONTHS.index(name[:3].lower()) + 1, int(match["nd"] or match["nd2"])
    if match["iso"]:
        on = match["iso"].split("-")
        return int(on[0]), int(on[1]), int(on[2])
    year = match["y"]
    return (int(year) % 100 + 2000 if year else None), int(match["m"]), int(match["d"])


SIEVE = Sieve(each for each in tuple(globals().values()) if isinstance(each, Pattern))
"""Every pattern of this module."""
