"""One pass over a note: its sections, stated times, the documentation elements our own detector finds, the services it
names. What the rules ask of a note's words they ask of a `Reading`, so that a note is read once however many lines are
proposed for it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date
from itertools import islice
from typing import TypeVar

from guardrails import time_statements, time_words
from guardrails.codebook import Codebook, Element
from guardrails.once import once
from guardrails.patterns import Folded, Pattern, Sieve, plain
from guardrails.time_statements import (
    ClockRange,
    Crowded,
    LoneStop,
    Role,
    TimeStatement,
    dates_in,
    is_given_now,
    line_of,
    times_and_stops,
    unclear_interruption,
)
from guardrails.verdict import Quote
from guardrails.visit import Note

T = TypeVar("T")
Span = tuple[int, int]

_HEADED_LINE = re.compile(  # possessive: a line is looked at once, whatever it is made of; after it comes the next
    r"[ \t]*+(?:[#*-]++[ \t]*+|\d{1,2}[.)][ \t]++)?+"
    r"([A-Za-z][A-Za-z0-9 /&(),.'#-]*+(?:[:\t]|(?=\n|\Z)))?+([^\n]*+(?:\n++|\Z))"  # a title with its colon, and the rest
)
_LONGEST_TITLE = 71
_FIRST_LINE = re.compile(r"\s*+([^\n]*+)")
_PLACEHOLDER = re.compile(
    r"^[\s.:_*-]*(?:\[[^\]]*\]|\{[^}]*\}|<[^>]*>|\*{2,}|_{2,}|n/?a|tbd|none documented|not assessed|not completed|to be (?:completed|determined)|pending"
    r"|deferred to next visit|see (?:the )?(?:\w+ ){0,3}(?:packet|chart|attached|form|intake|previous note|prior note)[^.]*|x{3,}"
    r"|(?:continued (?:to )?)?work(?:ed|ing)? on (?:\w+ ){0,2}(?:goals?|objectives?)(?: and (?:goals?|objectives?))?|same as (?:last|previous|prior) (?:visit|session|note|week)"
    r")?[\s.:_*-]*$",
    re.IGNORECASE,
)
_OF_PLACEHOLDER = re.compile(r"\s*+(?=[.:_*\[{<NnTtPpDdSsXxCcWw-]|\Z)([^\n]*+)")  # a first line that may be one
_NO_SERVICE = Pattern(
    r"\b(?:no[- ]?show(?:ed|s)?\b(?! (?:policy|fee|rate|risk))|(?:client|patient|pt|member|consumer|individual|he|she|they)\s+(?:did not|didn't|failed to) (?:attend|show|arrive|appear|present|keep)(?=[ ]*[.,;\n]| (?:up|for|today|(?:the |this |their |his |her |today's )?(?:appointment|session|visit))\b)"
    r"|(?:client|patient|pt|member|he|she|they)\s+(?:had )?(?:cancel(?:l?ed)|called to cancel)|(?:appointment|session|visit) (?:was )?(?:cancel(?:l?ed)|missed)|missed (?:the |this |today's )?(?:appointment|session|visit)|DNKA|NCNS|no call[,/ ]+no show|(?:client|patient|pt|member) DNA(?! (?:test|result|sampl|kit)))\b|^[ \t]*DNA\b(?=[ ]?[-.])",
    re.IGNORECASE | re.MULTILINE,
)
_PAST = Pattern(
    r"\b(?:last|previous|prior|past|history of|earlier|two|three|several|if|any|after|missed .{0,20} in)\b[^.\n]{0,40}$",
    re.IGNORECASE,
)
_CLIENT = r"(?:client|patient|pt|member)"
_RELATIVE = r"(?:mother|mom|father|dad|parents?|wife|husband|spouse|partner|family|caregivers?|guardian|grandmother|grandfather|aunt|uncle)"
_NOT_IN_THE_ROOM = (
    # somewhere else meanwhile
    rf"{_CLIENT}\s+(?:stayed|remained|waited|sat) (?:out )?(?:in|at) (?:the )?(?:waiting (?:room|area)|lobby|car|hallway|reception)\b(?! (?:of|with (?:staff|mother|father|writer)|on|last)\b)"
    r"(?! (?:\w+ )?(?:before|until|prior to|for (?:\w+ ){0,2}minutes))",
    rf"{_CLIENT}\s+(?:stayed|remained) (?:at )?home\b[^.;\n]{{0,20}}[.;,]? {_RELATIVE}\b[^.;\n]{{0,12}}\b(?:attended|came|present|met)\b",
    rf"{_CLIENT}\s+(?:was|is) (?:at|in) (?:school|work|(?:the )?hospital|jail)\b"
    rf"(?=[ ]*[.;,)][^\n]{{0,80}}\b(?:staff taught|{_RELATIVE})\b|[^.;\n]{{0,20}}\bnot present\b|[^.;\n]{{0,12}}(?:during|for) the (?:session|visit|whole))",
    # not here
    rf"{_CLIENT}\s+(?:did not|didn't|declined to|refused to) (?:participate|take part|come in|come|attend|join)"
    r"(?=[ ]*[.,;\n]| today| (?:in )?(?:the |this |today's )?(?:session|visit|appointment)\b(?!'))",
    rf"{_CLIENT}\s+(?:could not|was unable to|chose not to|was excused from) (?:(?:attend|join|make it)(?=[ ]*[.,;\n]| (?:due|because|today|(?:to )?(?:the |this |today)\S* ?(?:session|visit|appointment))\b)|the session\b)",
    rf"{_CLIENT}\s+(?:(?:was|is) )?unavailable\b(?! (?:by|for|on|last|until|next))",
    rf"{_CLIENT}[ ]*(?:[:(,-]|was\b|is\b)?[ ]*(?:not (?:present|here|there|with us|in attendance|in (?:the )?(?:room|session)|part of (?:the|this|today's) session)|absent|elsewhere)\b(?! (?:from|last|in|at first))",
    rf"{_CLIENT}\s+(?:present|attended|in attendance)[ ]*[:?][ ]*no\b",
    r"(?:child|son|daughter|youth) (?:was not|wasn't|did not|didn't) (?:present|in the (?:room|session)|attend)\b(?! (?:to|home|school|class|practice|last))",
    # others alone
    rf"{_RELATIVE} (?:attended|came|participated|(?:was |is |were )?present) (?:alone|by (?:herself|himself|themselves)|in (?:his|her|their|the (?:client|patient)'s) place|without (?:the )?{_CLIENT})\b(?! to the last)",
    rf"{_RELATIVE} (?:(?:was|were) )?seen alone\b(?! (?:last|at the last))|only (?:the )?{_RELATIVE} (?:attended|came|was present)\b(?! to (?:the )?(?!session|visit))|parents?[- ]only\b",
    rf"met with (?:the )?{_RELATIVE}(?: and (?:mother|father|\w+))? (?:only|alone)\b",
    r"(?<!consent for )(?<!release for )collateral (?:(?:phone )?(?:call|contact)|session|visit)\b(?! with [^.;\n]{0,30}\b(?:planned|scheduled))",
    r"without (?:the )?(?:client|patient|pt) present\b|in (?:the )?(?:client|patient)'s absence\b",
)
_ABSENT = Pattern(rf"\b(?:{'|'.join(_NOT_IN_THE_ROOM)})", re.IGNORECASE)
_GROUP = Pattern(
    r"\bgroup(?:(?<=\[x\] group)|(?<=\[x\]group))\b|\bgroup (?:size|session|of \d|of \w+ (?:clients|members|adults)|skills|format|setting|psychotherapy|therapy|note|members?|facilitat\w+|participants?|topic)\b|\b(?:in|attended|during|joined) (?:(?:a|the|this|today's) )?(?:\w+ ){0,3}group\b|\bwith (?:\w+ )?peers\b|\b\d+ (?:clients|group members|members|participants) (?:attended|present|were present)\b",
    re.IGNORECASE,
)
_INDIVIDUAL = Pattern(
    r"(?<!\[ \] )(?<!\[\] )\b(?:individual(?:ly)? (?:session|skills|service|psychotherapy|therapy|counseling|format|setting|contact|basis)|one[- ]to[- ]one|one[- ]on[- ]one|1:1|1-on-1|(?:setting|format|type|modality|service|mode|delivery)\s*[:|]\s*individual|individual,? (?:face|in[- ]person)|(?:training|therapy|psychotherapy|counseling|session|rehabilitation|support|services?)\s*[,;:(-]\s*individual)\b",
    re.IGNORECASE,
)
_NOT_NOW = (
    r"next|will|offered?|declined|previous|last|prior|usually|may|instead of|rather than|not|no|requested|future|if"
)
_RECEIVED_ELSEWHERE = Pattern(
    rf"\b(?:also|receiv(?:es|ing)|attends|refer(?:red|ral|s)?|recommend\w*|in addition to|continues? (?:in|with)|{_NOT_NOW})\b[^.\n;]{{0,40}}$",
    re.IGNORECASE,
)
_MERELY_OFFERED = Pattern(
    r"^[^.\n;]{0,20}\b(?:offered|available|recommended|(?:if|as) needed|to follow)\b", re.IGNORECASE
)
_SERVICE_LABEL = Pattern(
    r"^(?:type of |name of )?(?:service|svc|procedure|session|note|visit|encounter|contact|activity|modality|program)(?:[ /]+(?:type|code|name|modality|provided|delivered|rendered|description|title))*$|^services? (?:provided|delivered|rendered)$|^(?:type|title|document|document type)$",
    re.IGNORECASE | re.MULTILINE,
)
_INSTRUCTION = Pattern(
    r"\b(?:ignore|disregard|forget) (?:all |any |the )?(?:previous|prior|above|earlier) (?:instructions?|rules?|prompts?)|\bsystem\s*:\s|\b(?:you are|act as) (?:now )?(?:an? )?(?:ai|assistant|coder|model)\b|\"code\"\s*:\s*\"|set verdict|<\|?(?:im_start|system)",
    re.IGNORECASE,
)

_NOT_THIS_CONTACT = Pattern(rf"\b(?:prefers?|schedul\w+|or|{_NOT_NOW})\b[^.\n;]{{0,40}}$", re.IGNORECASE)
_TRANSPORT = Pattern(r"\b(?:drove|transport(?:ed|ing|ation)|escort(?:ed|ing)?|gave (?:\w+ )?a ride)\b", re.IGNORECASE)
_CLIENT_HEADER = Pattern(
    r"^[ \t]*(?i:client|patient|member|consumer|individual)(?:(?:'s)?[ ]+(?i:full |legal )?(?i:name)[ \t]*[:|][ \t]*(?P<name>[A-Z][\w'.-]+(?:,?[ ]+[A-Z][\w'.-]*){0,3})|[ \t]*[:|][ \t]*(?P<full>[A-Z][a-z'-]+,?[ ]+[A-Z][a-z'-]+(?:[ ]+[A-Z][a-z'-]+)?)[ \t]*$)",
    re.MULTILINE,
)
_LEVEL = "straightforward|low|moderate|high"
_DECISION_MAKING = Pattern(
    rf"\b(?:MDM|medical decision[- ]making)\b\s*(?:[:=(-]|is|was|of)?\s*(?:level |complexity )?(?P<after>{_LEVEL})\b"
    rf"|\b(?P<before>{_LEVEL})(?:[- ](?:complexity|level))? (?:MDM|medical decision[- ]making)\b"
    rf"|\b(?:MDM|medical decision[- ]making)\b[^\n]{{0,400}}?[,;:(] ?(?P<closing>{_LEVEL})(?: complexity| level)?\)?[.;\n]",
    re.IGNORECASE,
)
_HOW_OFTEN = Pattern(
    r"\b(?:weekly|biweekly|monthly|every (?:other |two )?weeks?|(?:once|twice|\d) ?x? ?(?:/|per|a) ?(?:week|month))\b",
    re.I,
)
# A contact at a distance, as the note describes this one; "video game" and "phone bill" are something else.
_VIDEO = Pattern(
    r"\b(?:via|by|over|on|through|using) (?:(?:secure|hipaa[- ]compliant|live|two-way|a) )*(?:zoom|video|telehealth|telemedicine|webex|doxy\S*|teams|facetime|videoconferenc\w+)\b"
    r"|\b(?:video|telehealth|telemedicine|virtual) (?:session|visit|contact|encounter|appointment|platform)\b|\b(?:modality|delivery|mode|setting|location|service type|contact type)\s*[:|]\s*[^\n]{0,20}\b(?:video|telehealth|telemedicine|virtual)\b(?<!no video)|\baudio(?:[- ](?:and[- ])?|/)(?:video|visual)\b|\baudiovisual\b",
    re.IGNORECASE,
)
_TELEPHONE = Pattern(
    r"\b(?:via|by|over|(?:spoke|talked|met|seen|session|contact)(?: \w+){0,4} on|switched to|moved to) (?:the )?(?:tele)?phone\b(?! (?:book|number))(?! with (?:her|his|their|mother|PCP))|\bphone call with (?:the )?(?:client|patient|pt)\b(?! (?:scheduled|planned))|\baudio[- ]only\b|\b(?:telephone|phone) (?:session|visit|contact|encounter|service)\b|\b(?:modality|delivery|mode|setting|contact type)\s*[:|]\s*(?:tele)?phone\b|\btelephonic(?:ally)?\b",
    re.IGNORECASE,
)
_SWITCHED = Pattern(
    r"\b(?:continued|finished|completed|resumed|switched|moved|changed)(?: \w+){0,3} (?:by|over|via|on|to) (?:the )?(?:tele)?phone\b",
    re.IGNORECASE,
)
_IN_PERSON = Pattern(
    r"\b(?:in[- ]person|face[- ]to[- ]face|f2f)\b(?! (?:visit|appointment|session)s? (?:next|will|was offered|offered))",
    re.IGNORECASE,
)
_AT_HOME = Pattern(
    r"\b(?:client|patient|pt|ct|member|he|she|they)(?:'s)?\s+(?:location|was|is|were|joined|connected|participated|took part|spoke|attended|called)?[^.\n;]{0,30}?\b(?:at|from|in|:) (?:his|her|their|own|the client's|the patient's)? ?(?:home|house|apartment|residence|bedroom|living room|kitchen|motel|hotel|shelter|parked car|car|yard|porch)\b"
    r"|\bfrom (?:the )?(?:client|patient|pt|ct|member)'s (?:home|house|apartment|residence)\b|\b(?:client|patient|pt)(?:'s)?\s+location\s*[:|]\s*(?:at )?(?:home|own home|residence|apartment)\b",
    re.IGNORECASE,
)
_ELSEWHERE = Pattern(
    r"\b(?:client|patient|pt|ct|member|he|she|they)(?:'s)?\s+(?:location|was|is|were|sat|joined|connected|participated)?[^.\n;]{0,24}?\b(?:at|from|in|:) (?:his|her|their|the|our|an?)? ?(?:clinic|hospital|school|office|exam(?:ination)? room|workplace|work site|job site|library|emergency (?:room|department)|ED\b|nursing (?:home|facility))\b",
    re.IGNORECASE,
)
_UNCERTAIN = Pattern(
    r"\b(?:rule[- ]?out|r/o|probable|suspected?|possible|likely|questionable|consider|versus|vs\.?|provisional)\b[^.\n;]{0,40}$|\?\s*$",
    re.IGNORECASE,
)
_SAID_UNCERTAIN = Pattern(
    r"\b(?:rule[- ]?out|r/o|probable|suspect|possible|likely|questionable|consider|versus|vs|provisional)",
    re.IGNORECASE,
)
_RULED_OUT_AFTER = Pattern(
    r"^[^.\n;]{0,25}\b(?:rule[- ]?out|r/o|suspected|to be ruled out|not established)\b", re.IGNORECASE
)

_DENIED_BEFORE = Pattern(
    r"\b(?:no|not|never|without|declin\w+|refus\w+|unable to|n't|defer\w+|unwilling to)\b(?! only)[^.,;:\n]{0,28}$",
    re.IGNORECASE,
)
_DENIED_AFTER = Pattern(
    r"[^.,;:\n]{0,14}?\b(?:was|were|is|has been)? ?(?:not (?:done|made|completed|discussed|performed|used|given|reviewed|obtained|needed)|declined|refused|deferred)\b",
    re.IGNORECASE,
)
_SCORED = Pattern(
    r"[^.;\n]{0,40}?(?:\b(?:scor\w+|total|result|of|was|is|today|at)\b|[:=(/|\t])[^.;\n]{0,14}?(?<![\d-])\d{1,3}\b(?!\s*(?:min|years?|weeks?|items?|of \d|or (?:more|less)|[ap]\.?m\b|:\d|-\d|/\d{1,2}\b(?!/)(?<!/21)|/\d{1,2}/))",
    re.IGNORECASE,
)

_ANOTHER_SCORE = re.compile(  # another day's, somebody else's, or none that was reached
    r"\b(?:due|next|last(?! (?:2|two) weeks)|(?:on|from) \d{1,2}/\d{1,2}(?![\d/])|previous(?:ly)?|prior|earlier|ago|baseline|initial|intake|admission|start of (?!(?:the |this |today's )?(?:session|visit))|will|not repeated|repeat(?:ed)? (?:in|at|on)|history of"
    r"|outside|per (?:chart|pcp)|(?:by|at) (?:the )?pcp|goal|target|ranges|reduce|(?:mother|father|parent|spouse|partner)'?s"
    r"|(?:in|from) (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|spring|summer|fall|winter)\w*)\b|\([ ]?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)",
    re.IGNORECASE,
)
_COMPARED_WITH = re.compile(  # behind a score: what this one is compared with
    r"\s*(?:[,;(|-]\s*(?:down|up|improved|decreased|increased|reduced|prior|previous(?:ly)?|last|was|next|range|goal|target|(?:will |to )?repeat|vs)|compared)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_TODAY = re.compile(r"\b(?:today|this (?:visit|session))\b(?!'s)", re.IGNORECASE)
_MOST_NAMED = 200  # mentions of one instrument that are looked at
_LINE = re.compile(r"^[^\S\n]*+\S[^\n]*", re.MULTILINE)  # possessive: a megabyte of blanks is looked at once
_LETTER = re.compile(r"^[A-Z][ ]*[-.)][ ]*(?=\w)")  # "P - PLAN" of the SOAP family
_FEW_WORDS = re.compile(r"(?=[A-Z])(?:[A-Za-z]++[^A-Za-z]*+){1,6}+\Z(?<![.,])")
_IN_CAPITALS = re.compile(r"(?=[A-Z])(?:(?:[A-Z][A-Za-z]*+|[a-z]{1,3}+(?![A-Za-z]))[^A-Za-z]*+){1,6}+\Z(?<![.,])")
_NAME = re.compile(r"\w+")
_A_WORD = re.compile(r"[a-z] $", re.IGNORECASE)
_TWO_WORDS = re.compile(r"\w\W+\w")
_AFTER_LETTER = frozenset(" -.)")
_DATE_LABEL = Pattern(
    r"\b(?:dates?(?:\(s\))?(?: ?(?:/|&|and) ?time)? (?:of (?:service|session|visit|contact|encounter|evaluation|assessment|group)|seen)|DOS|late entry for"
    r"|(?P<of>service|session|visit|contact|encounter|group|appointment|svc) date(?: ?(?:/|&|and) ?time)?)(?:\s*[:|=-]\s*|[ \t]+)(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?[ ]+)?",
    re.IGNORECASE,
)
_OTHER_DATE = re.compile(
    r"\b(?:next|last|prior|previous|return|future|upcoming|scheduled|first|initial|intake|missed|new|follow-?up|pcp|court|rtc|authorization|authorized|admission) $",
    re.IGNORECASE,
)


class Sections:
    """A note's headings in the order of the text, each by its number, and what stands under it.

    Whether a section is filled in is looked at when somebody asks.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._titles, self._starts, self._bodies = _headings(text)
        self.titled = dict.fromkeys(self._titles)  # a note of one heading a thousand times is judged once
        self.titles = Folded("\n".join(self.titled))
        self._blank: dict[int, int] = {}

    def headed(self, titles: Sequence[str]) -> Iterator[int]:
        """The sections of these titles, in the order of the text."""
        if len(titles) != 1:
            asked = frozenset(titles)
            return (section for section, title in enumerate(self._titles) if title in asked)
        return self._of_title(titles[0])

    def _of_title(self, title: str) -> Iterator[int]:
        section = -1
        for _ in range(self._titles.count(title)):
            section = self._titles.index(title, section + 1)
            yield section

    def body(self, section: int) -> Span:
        """What stands under the heading, up to the next."""
        ends = section + 1
        return self._bodies[section], self._starts[ends] if ends < len(self._starts) else len(self._text)

    def is_blank(self, section: int) -> bool:
        """Whether it holds only a template's placeholder."""
        return self._blank_to(section) > self._starts[section]

    def _blank_to(self, section: int) -> int:
        """Where the first line ends of a section in which it holds only a template's placeholder, else where it begins.

        Heading and line are then treated as absent (domain X-D21).
        """
        end = self._blank.get(section)
        if end is None:
            first = _OF_PLACEHOLDER.match(self._text, *self.body(section))
            blank = first and _PLACEHOLDER.match(first[1].strip())
            end = self._blank[section] = first.end() if first and blank else self._starts[section]
        return end

    def hidden(self, at: int) -> bool:
        """Whether a place stands in what is treated as absent."""
        before = bisect_right(self._starts, at) - 1
        return before >= 0 and at < self._blank_to(before)


class OnDemand(Mapping[str, T]):
    """What a note shows under each name, looked for when somebody asks: a visit needs few of the many.

    `find` gives the places one after another, and whether there is any is known from the first. `made` makes of all of them
    what is given to who asks for them.
    """

    __slots__ = ("_find", "_found", "_made", "_names")

    def __init__(
        self, names: Collection[str], find: Callable[[str], Iterator[Span]], made: Callable[[list[Span]], T]
    ) -> None:
        self._names, self._find, self._made = names, find, made
        self._found: dict[str, tuple[list[Span], Iterator[Span]]] = {}

    def _begun(self, name: str) -> tuple[list[Span], Iterator[Span]]:
        if name not in self._found:
            places = self._find(name) if name in self._names else iter(())
            self._found[name] = list(islice(places, 1)), places
        return self._found[name]

    def __getitem__(self, name: str) -> T:
        found, further = self._begun(name)
        if not found:
            raise KeyError(name)
        found.extend(further)
        return self._made(found)

    def __contains__(self, name: object) -> bool:
        begun = self._found.get(name)  # type: ignore[call-overload]  # any object may be asked for
        return bool((begun or self._begun(str(name)))[0])

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _first_of(places: list[Span]) -> Span:
    return places[0]


class Reading:
    """What one note shows, as spans. Each thing is looked for when a rule asks for it, and once.

    Services are `declared` by the title or service line, `mentioned` as given in this contact, or `named` anywhere at all.
    """

    def __init__(
        self, note: Note, codebook: Codebook, client_names: tuple[str, ...] = (), on: date | None = None
    ) -> None:
        self.note_id, self.text_hash = note.id, note.text_hash
        self._note, self._codebook, self._client_names, self._on = note, codebook, client_names, on

    def at(self, span: Span) -> Quote:
        """A proven quote of this note."""
        return Quote(self.note_id, span[0], span[1], self.text_hash)

    @once
    def _sieve(self) -> Sieve:
        return self._codebook.sieve(_PATTERNS)

    @once
    def _folded(self) -> Folded:
        return self._sieve.fold(self._note.text)

    @once
    def _clients(self) -> Folded:
        """The text with the client's names as "pt", for what only the client can do."""
        text = self._note.text
        named = _client_named(text, self._client_names)
        if not named:
            return self._folded
        apart = zip([0, *(end for _, end in named)], [*(start for start, _ in named), len(text)], strict=True)
        words = iter([*("pt".ljust(end - start) for start, end in named), ""])
        called = "".join(text[start:end] + next(words) for start, end in apart)
        return self._sieve.refold(self._folded, called, named)

    @once
    def _times(self) -> tuple[tuple[TimeStatement, ...], tuple[LoneStop, ...]] | None:
        try:
            return times_and_stops(self._folded)
        except Crowded:
            return None

    @property
    def times(self) -> tuple[TimeStatement, ...]:
        """The durations and clock times that it states."""
        return self._times[0] if self._times else ()

    @property
    def lone_stops(self) -> tuple[LoneStop, ...]:
        """The stop times that belong to no start of this note."""
        return self._times[1] if self._times else ()

    @property
    def crowded(self) -> bool:
        """More times are stated than can be told apart, so none is here."""
        return self._times is None

    @once
    def _sections(self) -> Sections:
        return Sections(self._folded.text)

    @once
    def elements(self) -> Mapping[str, tuple[Span, ...]]:
        """The places that show each documentation element."""
        return _elements(self._clients, self._sections, self._codebook)

    @once
    def declared_services(self) -> Mapping[str, Span]:
        """The services that the title or a service line names."""
        return _declared_services(self._folded, self._sections, self._codebook)

    @once
    def mentioned_services(self) -> Mapping[str, Span]:
        """The services that a sentence speaks of as given in this contact."""
        return _services_given(self._folded, self._codebook, self.times)

    @once
    def named_services(self) -> Mapping[str, Span]:
        """The services that are named anywhere."""
        return _services_named(self._folded, self._codebook)

    @once
    def no_service(self) -> Span | None:
        """Words that say that the client did not come."""
        return _first(_NO_SERVICE, self._clients, unless_before=_PAST)

    @once
    def client_absent(self) -> Span | None:
        """Words that say that the client was not there."""
        return _first(_ABSENT, self._clients)

    @once
    def group(self) -> Span | None:
        """Words of a group."""
        return _first(_GROUP, self._folded)

    @once
    def individual(self) -> Span | None:
        """Words of a service to one person, which this contact was."""
        text = self._folded.text
        for match in _INDIVIDUAL.finditer(self._folded):
            start, end = match.span()
            before, after = text[max(0, start - 60) : start], text[end : end + 40]
            if not (_RECEIVED_ELSEWHERE.search(before) or _MERELY_OFFERED.search(after)):
                return start, end
        return None

    @once
    def interruption(self) -> Span | None:
        """Words of an interruption without its length."""
        return unclear_interruption(self._clients, self.times)

    @once
    def instruction(self) -> Span | None:
        """Words meant for software."""
        return _first(_INSTRUCTION, self._folded)

    @once
    def decision_making(self) -> tuple[str, Span] | None:
        """The level of medical decision making that it states, and where."""
        return _decision_making(self._folded)

    @once
    def subject(self) -> Span | None:
        """Another client's name in the header."""
        return _subject(self._folded, self._client_names)

    @once
    def transport(self) -> Span | None:
        """Words of a ride."""
        return _first(_TRANSPORT, self._folded)

    @once
    def video(self) -> Span | None:
        """Words of a contact by video."""
        return _first(_VIDEO, self._clients, unless_before=_NOT_THIS_CONTACT)

    @once
    def telephone(self) -> Span | None:
        """Words of a contact by telephone."""
        switched = _first(_SWITCHED, self._clients)
        return switched or _first(_TELEPHONE, self._clients, unless_before=_NOT_THIS_CONTACT)

    @once
    def in_person(self) -> Span | None:
        """Words of a contact in person."""
        return _first(_IN_PERSON, self._clients, unless_before=_NOT_THIS_CONTACT)

    @once
    def client_at_home(self) -> Span | None:
        """Words that say that the client was at home."""
        return _first(_AT_HOME, self._clients)

    @once
    def client_elsewhere(self) -> Span | None:
        """Words that say that the client was somewhere else than at home."""
        return _first(_ELSEWHERE, self._clients)

    @once
    def uncertain_diagnoses(self) -> Mapping[str, Span]:
        """Diagnoses that it names as uncertain."""
        return _uncertain(self._folded, self._codebook)

    @once
    def instruments(self) -> Mapping[str, Span]:
        """Instruments that it names with a score of this visit's."""
        return _instruments(self._folded, self._codebook, self._on)

    @once
    def service_dates(self) -> tuple[tuple[date, Span], ...]:
        """The dates of service that it names."""
        return tuple(_service_dates(self._folded))


def read(note: Note, codebook: Codebook, client_names: tuple[str, ...] = (), on: date | None = None) -> Reading:
    """Read one note's text. Bounded work: each pattern runs at most once over the text.

    `client_names` are the ways the note may call the client; each reads like "client", so that "Noemi said" is the
    client's own doing and "her mother said" is not. `on` is the date of service.
    """
    return Reading(note, codebook, client_names, on)


def _service_dates(folded: Folded) -> Iterator[tuple[date, Span]]:
    for label in _DATE_LABEL.near_digits(folded):  # else no date follows
        start, end = label.span()
        before = folded.text[max(0, start - 16) : start]
        if _OTHER_DATE.search(before) or (label["of"] and _A_WORD.search(before)):  # "next session date"
            continue
        at, when = next(dates_in(folded, end, min(end + 24, len(folded.text))), (0, None))
        if when is not None and not folded.text[end:at].strip():
            yield when, (start, at)


def _decision_making(text: Folded) -> tuple[str, tuple[int, int]] | None:
    """The level of medical decision making that the note states, in its own word; None where it states none or several."""
    matches = _DECISION_MAKING.finditer(text)
    said = [((m["after"] or m["before"] or m["closing"]).lower(), m.span()) for m in matches]
    return said[0] if len({level for level, _ in said}) == 1 else None


def _subject(text: Folded, client_names: tuple[str, ...]) -> tuple[int, int] | None:
    """The name in a header that says whose note this is, where it is none of this client's (C25)."""
    own = {word.casefold() for name in client_names for word in _NAME.findall(plain(name))}
    if not own:
        return None
    for header in _CLIENT_HEADER.finditer(text):
        group = "name" if header["name"] else "full"
        words = {w.casefold() for w in re.findall(r"[^\W\d_]{2,}", header[group])}
        if words and not own & words:
            return header.span(group)
    return None


def _uncertain(folded: Folded, codebook: Codebook) -> dict[str, Span]:
    """Diagnoses, by the beginning of their code, that the note names as uncertain and nowhere as established (DX-10)."""
    if "?" not in folded.text and not _SAID_UNCERTAIN.search(folded):
        return {}
    found: dict[str, Span] = {}
    text = folded.text
    for prefix, words in codebook.diagnosis_words:
        spans = [match.span() for match in words.finditer(folded)]
        doubted = [
            span
            for span in spans
            if _UNCERTAIN.search(text[max(0, span[0] - 60) : span[0]])
            or _RULED_OUT_AFTER.match(text[span[1] : span[1] + 60])
        ]
        if doubted and len(doubted) == len(spans):
            found[prefix] = doubted[0]
    return found


def _client_named(text: str, names: tuple[str, ...]) -> list[Span]:
    """Where the text calls the client by one of these names, the longest that stands at a place."""
    found = []
    for name in {n for n in names if len(n) >= 2}:
        at = text.find(name)
        while at >= 0:
            end = at + len(name)
            if _edge(text, at) and _edge(text, end):
                found.append((at, -end))
            at = text.find(name, at + 1)
    spans: list[Span] = []
    for start, end in sorted(found):
        if not spans or start >= spans[-1][1]:
            spans.append((start, -end))
    return spans


def _edge(text: str, at: int) -> bool:
    """Whether a word begins or ends here."""
    before, after = text[at - 1 : at] if at else "", text[at : at + 1]
    return (before.isalnum() or before == "_") != (after.isalnum() or after == "_")


def _first(pattern: Pattern, folded: Folded, unless_before: Pattern | None = None) -> Span | None:
    for match in pattern.finditer(folded):
        span = match.span()
        if unless_before is None or not unless_before.search(folded.text[max(0, span[0] - 60) : span[0]]):
            return span
    return None


def _headings(text: str) -> tuple[list[str], list[int], list[int]]:
    """The titles, where each heading begins and where what stands under it does."""
    titles, starts, bodies = [], [], []
    for line in _HEADED_LINE.finditer(text):
        named = line[1]
        if named is None:
            continue
        title, start = named.rstrip(" :\t"), line.start()
        if len(title) > _LONGEST_TITLE or (named[-1] not in ":\t" and not _is_title_line(title, text, start)):
            continue
        if title[1:2] in _AFTER_LETTER:
            title = _LETTER.sub("", title)
        titles.append(title)
        starts.append(start)
        bodies.append(line.start(2))
    return titles, starts, bodies


def _is_title_line(title: str, text: str, start: int) -> bool:
    """A line without a colon is a heading if it is short, unpunctuated, and in capitals or alone after a blank line."""
    if _IN_CAPITALS.match(title):
        return True
    alone = start < 2 or text.startswith("\n\n", start - 2)
    return alone and _FEW_WORDS.match(title) is not None


def _elements(folded: Folded, sections: Sections, codebook: Codebook) -> Mapping[str, tuple[Span, ...]]:
    """The places that show each element, looked for when a rule asks for it."""
    text = folded.text

    def named(element: Element) -> list[str]:
        titles = element.titled.texts(sections.titles) if element.titled else []
        if all(map(sections.titled.__contains__, titles)):
            return titles
        return [
            t for t in sections.titled if any(h.fullmatch(t) for h in element.headings)
        ]  # a pattern reached over a line's end

    def places(element: Element) -> Iterator[Span]:
        for section in sections.headed(named(element)):
            start, end = sections.body(section)
            if _TWO_WORDS.search(text, start, end) and not sections.is_blank(section):
                body = text[start:end].rstrip()
                yield start + len(body) - len(body.lstrip()), start + len(body)
                break
        for pattern in element.words:
            for match in pattern.finditer(folded):
                span = match.span()
                if not sections.hidden(span[0]) and not (element.denial_is_absence and _denied(text, span)):
                    yield span
                    break

    return OnDemand(codebook.elements, lambda name: places(codebook.elements[name]), tuple)


def _denied(text: str, span: tuple[int, int]) -> bool:
    """Whether the note says of these words that it was not so: "no safety plan was made", "referral was declined"."""
    before, after = text[max(0, span[0] - 48) : span[0]], text[span[1] : span[1] + 48]
    return bool(_DENIED_BEFORE.search(before) or _DENIED_AFTER.match(after))


def _instruments(folded: Folded, codebook: Codebook, on: date | None) -> Mapping[str, Span]:
    """The instruments that the note names with a score of the date of service, near one of their first mentions (N02)."""
    text = folded.text

    def of_this_day(span: Span) -> bool:
        before, after = time_statements.sentence(text, span)
        scored = _SCORED.match(after)
        ends = scored.end() if scored else 60
        told = before[-40:] + after[:ends] + _COMPARED_WITH.sub("", after[ends : ends + 40])
        if any(when != on for _, when in dates_in(told)):
            return False
        return bool(_TODAY.search(told)) or not _ANOTHER_SCORE.search(told)

    def with_score(name: str) -> Iterator[Span]:
        spans = (match.span() for match in islice(codebook.instruments[name].finditer(folded), _MOST_NAMED))
        scored = (s for s in spans if _SCORED.match(text[s[1] : s[1] + 100]) and not _denied(text, s))
        return islice(filter(of_this_day, scored), 1)

    return OnDemand(codebook.instruments, with_score, _first_of)


def _declared_services(folded: Folded, sections: Sections, codebook: Codebook) -> dict[str, Span]:
    """Services that the note's own service line names; where none does, its title: "Rehab contact sheet" is a form's name."""
    text, title_end = folded.text, 0
    for line in islice(_LINE.finditer(text), 4):
        if len(line[0]) <= 120:
            title_end = line.end()
    spans: list[Span] = []
    for section in sections.headed(_SERVICE_LABEL.texts(sections.titles)):
        body = sections.body(section)
        first = _FIRST_LINE.match(text, *body)
        span = (body[0], first.end() if first else body[1])
        if not _HOW_OFTEN.search(folded, *span):  # else a plan's line about services to come
            spans.append(span)
    return _declared_in(spans, folded, codebook) or _declared_in([(0, title_end)], folded, codebook)


def _declared_in(spans: list[Span], folded: Folded, codebook: Codebook) -> dict[str, Span]:
    declaring = Folded(_APART.join([folded.text[start:end] for start, end in spans]), folded.ruled_out)  # once for all
    services = codebook.services
    found = [(service, services[service].search(declaring)) for service in services.possible(declaring)]
    return {service: _in_whole(match.span(), spans) for service, match in found if match}


_APART = "\n~\n"  # no pattern reaches over it


def _in_whole(span: tuple[int, int], parts: list[tuple[int, int]]) -> tuple[int, int]:
    """Where a span of the joined parts stands in the text that they were taken from."""
    offset = 0
    for start, end in parts:
        if span[0] < offset + end - start:
            return start + span[0] - offset, start + span[1] - offset
        offset += end - start + len(_APART)
    raise ValueError("the span begins in none of the parts")


def _services_given(folded: Folded, codebook: Codebook, times: tuple[TimeStatement, ...]) -> Mapping[str, Span]:
    """Services that a sentence anywhere speaks of as given in this contact, or that stand on the line of its time."""
    text = folded.text
    timed = {line_of(text, t.span) for t in times if isinstance(t, ClockRange) and t.role is Role.SESSION}

    def given(service: str) -> Iterator[Span]:
        spans = (match.span() for match in codebook.services[service].finditer(folded))
        return islice((span for span in spans if line_of(text, span) in timed or is_given_now(folded, span)), 1)

    return OnDemand(codebook.services, given, _first_of)


def _services_named(folded: Folded, codebook: Codebook) -> Mapping[str, Span]:
    """Services that the text names anywhere, but for lines about services to come ("individual therapy weekly")."""
    text = folded.text

    def named(service: str) -> Iterator[Span]:
        for match in codebook.services[service].finditer(folded):
            span = match.span()
            end = text.find("\n", span[1])
            if not _HOW_OFTEN.search(folded, line_of(text, span), end if end >= 0 else len(text)):
                yield span
                return

    return OnDemand(codebook.services, named, _first_of)


_PATTERNS = (
    *(each for each in tuple(globals().values()) if isinstance(each, Pattern)),
    *time_words.SIEVE.patterns,
)
"""The patterns of this module and of the times: with the tables' own, all that are looked for in a note."""
