"""One pass over a note: its sections, stated times, the documentation elements our own detector finds, the services it
names. What the rules ask of a note's words they ask of a `Reading`, so that a note is read once however many lines are
proposed for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import chain, islice
from typing import TypeVar

from guardrails.codebook import Codebook, Element
from guardrails.patterns import Pattern, plain
from guardrails.time_statements import (
    MOST_TIMES,
    ClockRange,
    LoneStop,
    Role,
    TimeStatement,
    dates_in,
    is_given_now,
    line_of,
    lone_stops,
    read_times,
    unclear_interruption,
)
from guardrails.verdict import Quote
from guardrails.visit import Note

T = TypeVar("T")

_HEADING = re.compile(
    r"^[ \t]*(?:[#*-]+[ \t]*|\d{1,2}[.)][ \t]+)?(?P<title>[A-Za-z][A-Za-z0-9 /&(),.'#-]{0,70}?)[ ]*(?:[:\t](?P<rest>[^\n]*)|$)",
    re.MULTILINE,
)
_PLACEHOLDER = re.compile(
    r"^[\s.:_*-]*(?:\[[^\]]*\]|\{[^}]*\}|<[^>]*>|\*{2,}|_{2,}|n/?a|tbd|none documented|not assessed|not completed|to be (?:completed|determined)|pending"
    r"|deferred to next visit|see (?:the )?(?:\w+ ){0,3}(?:packet|chart|attached|form|intake|previous note|prior note)[^.]*|x{3,})?[\s.:_*-]*$",
    re.IGNORECASE,
)
_NO_SERVICE = Pattern(
    r"\b(?:no[- ]?show(?:ed|s)?\b(?! (?:policy|fee|rate|risk))|(?:client|patient|pt|member|consumer|individual|he|she|they)\s+(?:did not|didn't|failed to) (?:attend|show|arrive|appear|present|keep)"
    r"|(?:client|patient|pt|member|he|she|they)\s+(?:had )?(?:cancel(?:l?ed)|called to cancel)|(?:appointment|session|visit) (?:was )?(?:cancel(?:l?ed)|missed)|missed (?:the |this |today's )?(?:appointment|session|visit))\b",
    re.IGNORECASE,
)
_PAST = Pattern(
    r"\b(?:last|previous|prior|past|history of|earlier|two|three|several|if|any|after|missed .{0,20} in)\b[^.\n]{0,40}$",
    re.IGNORECASE,
)
_ABSENT = Pattern(
    r"\bparents?[- ]only\b|\b(?:client|patient|pt|member)\s+(?:was |is |were )?(?:not (?:here|there|in (?:the )?(?:room|session)|with us)|elsewhere|did not (?:join|come|take part))\b|"
    r"\bmet with (?:the )?(?:parents?|mother|father|wife|husband|spouse|partner|family|caregivers?)(?: and (?:mother|father|\w+))? (?:only|alone)\b"
    r"|\bcollateral (?:phone )?(?:call|contact)\b|\b(?:client|patient|pt)\s+(?:was|is) (?:at|in) (?:school|work|(?:the )?hospital|jail)\b|\b(?:client|patient|pt|member)\s+(?:was )?(?:not present|absent|did not attend)\b|\bwithout (?:the )?(?:client|patient|pt)\s+present\b|\bin (?:the )?(?:client|patient)'s absence\b",
    re.IGNORECASE,
)
_GROUP = Pattern(
    r"\bgroup (?:size|session|of \d|of \w+ (?:clients|members|adults)|skills|format|setting|psychotherapy|therapy|note|members?|facilitat\w+|participants?|topic)\b|\b(?:in|attended|during|joined) (?:(?:a|the|this|today's) )?(?:\w+ ){0,3}group\b|\bwith (?:\w+ )?peers\b|\b\d+ (?:clients|group members|members|participants) (?:attended|present|were present)\b",
    re.IGNORECASE,
)
_INDIVIDUAL = Pattern(
    r"\b(?:individual(?:ly)? (?:session|skills|service|psychotherapy|therapy|counseling|format|setting|contact|basis)|one[- ]to[- ]one|one[- ]on[- ]one|1:1|1-on-1|(?:setting|format|type|modality|service|mode|delivery)\s*[:|]\s*individual|individual,? (?:face|in[- ]person)|(?:training|therapy|psychotherapy|counseling|session|rehabilitation|support|services?)\s*[,;:(-]\s*individual)\b",
    re.IGNORECASE,
)
_SERVICE_LABEL = Pattern(
    r"^(?:type of |name of )?(?:service|svc|procedure|session|note|visit|encounter|contact|activity|modality|program)(?:[ /]+(?:type|code|name|modality|provided|delivered|rendered|description|title))*$|^services? (?:provided|delivered|rendered)$|^(?:type|title|document|document type)$",
    re.IGNORECASE,
)
_INSTRUCTION = Pattern(
    r"\b(?:ignore|disregard|forget) (?:all |any |the )?(?:previous|prior|above|earlier) (?:instructions?|rules?|prompts?)|\bsystem\s*:\s|\b(?:you are|act as) (?:now )?(?:an? )?(?:ai|assistant|coder|model)\b|\"code\"\s*:\s*\"|set verdict|<\|?(?:im_start|system)",
    re.IGNORECASE,
)

_NOT_THIS_CONTACT = Pattern(
    r"\b(?:next|will|offered?|declined|prefers?|previous|last|prior|usually|may|instead of|rather than|not|no|requested|schedul\w+|future|if|or)\b[^.\n;]{0,40}$",
    re.IGNORECASE,
)
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
    r"|\b(?:video|telehealth|telemedicine|virtual) (?:session|visit|contact|encounter|appointment|platform)\b|\b(?:modality|delivery|mode|setting|location|service type|contact type)\s*[:|]\s*[^\n]{0,20}\b(?:video|telehealth|telemedicine|virtual)\b|\baudio(?:[- ](?:and[- ])?|/)(?:video|visual)\b|\baudiovisual\b",
    re.IGNORECASE,
)
_TELEPHONE = Pattern(
    r"\b(?:via|by|over) (?:the )?(?:tele)?phone\b(?! (?:book|number))|\baudio[- ]only\b|\b(?:telephone|phone) (?:session|visit|contact|encounter|service)\b|\b(?:modality|delivery|mode|setting|contact type)\s*[:|]\s*(?:tele)?phone\b|\btelephonic(?:ally)?\b",
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
    r"\b(?:rule[- ]?out|r/o|probable|suspect|possible|likely|questionable|consider|versus|vs|provisional)|\?",
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
    r"[^.;\n]{0,40}?(?:\b(?:scor\w+|total|result|of|was|is|today|at)\b|[:=(/])[^.;\n]{0,14}?(?<![\d-])\d{1,3}\b(?!\s*(?:min|years?|weeks?|/\d{1,2}/))",
    re.IGNORECASE,
)

_MOST_NAMED = 200  # mentions of one instrument that are looked at
_LINE = re.compile(r"^[^\S\n]*+\S[^\n]*", re.MULTILINE)  # possessive: a megabyte of blanks is looked at once
_LETTER = re.compile(r"^[A-Z][ ]*[-.)][ ]*(?=\w)")  # "P - PLAN" of the SOAP family
_DATE_LABEL = Pattern(
    r"\b(?:date of (?:service|session|visit|contact|encounter|evaluation|assessment|group)|(?:service|session|visit|contact|encounter|group) date|DOS)\s*[:|]\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it: spans in the note's text."""

    title: str = field(repr=False)
    body: tuple[int, int]
    start: int

    def text(self, whole: str) -> str:
        """The section's words."""
        return whole[self.body[0] : self.body[1]]


class OnDemand(Mapping[str, T]):
    """What a note shows under each name, looked for when somebody asks: a visit needs few of the many."""

    __slots__ = ("_find", "_found", "_names")

    def __init__(self, names: Iterable[str], find: Callable[[str], T | None]) -> None:
        self._names, self._find = names, find
        self._found: dict[str, T | None] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._found:
            self._found[name] = self._find(name)
        found = self._found[name]
        if found is None:
            raise KeyError(name)
        return found

    def __contains__(self, name: object) -> bool:
        try:
            self[name]  # type: ignore[index]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was found in one note, as spans. Elements and services are looked for when a rule asks.

    Services are `declared` by the title or service line, `mentioned` as given in this contact, or `named` anywhere at all.
    """

    note_id: str
    text_hash: str
    times: tuple[TimeStatement, ...] = ()
    lone_stops: tuple[LoneStop, ...] = ()
    crowded: bool = False  # more times are stated than can be told apart, so none is here
    elements: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict, repr=False)
    declared_services: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    mentioned_services: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    named_services: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    no_service: tuple[int, int] | None = None
    client_absent: tuple[int, int] | None = None
    group: tuple[int, int] | None = None
    individual: tuple[int, int] | None = None
    interruption: tuple[int, int] | None = None
    instruction: tuple[int, int] | None = None
    decision_making: tuple[str, tuple[int, int]] | None = None
    subject: tuple[int, int] | None = None
    transport: tuple[int, int] | None = None
    video: tuple[int, int] | None = None
    telephone: tuple[int, int] | None = None
    in_person: tuple[int, int] | None = None
    client_at_home: tuple[int, int] | None = None
    client_elsewhere: tuple[int, int] | None = None
    uncertain_diagnoses: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    instruments: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    service_dates: tuple[tuple[date, tuple[int, int]], ...] = ()

    def at(self, span: tuple[int, int]) -> Quote:
        """A proven quote of this note."""
        return Quote(self.note_id, span[0], span[1], self.text_hash)


def read(note: Note, codebook: Codebook, client_names: tuple[str, ...] = ()) -> Reading:
    """Read one note's text. Bounded work: each pattern runs once over the text.

    `client_names` are the ways the note may call the client; each reads like "client", so that "Noemi said" is the
    client's own doing and "her mother said" is not.
    """
    text = plain(note.text)
    clients = plain(_with_client_named(note.text, client_names))
    sections = _sections(text)
    blank = _blank_spans(text, sections)
    declared = _declared_services(text, sections, codebook)
    times = read_times(text)
    stops = lone_stops(text, times)
    crowded = len(times) > MOST_TIMES or len(stops) > MOST_TIMES
    if crowded:
        times, stops = (), ()
    return Reading(
        note_id=note.id,
        text_hash=note.text_hash,
        times=times,
        lone_stops=stops,
        crowded=crowded,
        interruption=unclear_interruption(clients, times),
        elements=_elements(clients, sections, blank, codebook),
        declared_services=declared,
        mentioned_services=_services_given(text, codebook, times),
        named_services=_services_named(text, codebook),
        no_service=_first(_NO_SERVICE, clients, unless_before=_PAST),
        client_absent=_first(_ABSENT, clients),
        group=_first(_GROUP, text),
        individual=_first(_INDIVIDUAL, text),
        instruction=_first(_INSTRUCTION, text),
        decision_making=_decision_making(text),
        subject=_subject(text, client_names),
        transport=_first(_TRANSPORT, text),
        video=_first(_VIDEO, clients, unless_before=_NOT_THIS_CONTACT),
        telephone=_first(_TELEPHONE, clients, unless_before=_NOT_THIS_CONTACT),
        in_person=_first(_IN_PERSON, clients, unless_before=_NOT_THIS_CONTACT),
        client_at_home=_first(_AT_HOME, clients),
        client_elsewhere=_first(_ELSEWHERE, clients),
        uncertain_diagnoses=_uncertain(text, codebook),
        instruments=_instruments(text, codebook),
        service_dates=tuple(_service_dates(text)),
    )


def _service_dates(text: str) -> Iterator[tuple[date, tuple[int, int]]]:
    for label in _DATE_LABEL.finditer(text):
        window = text[label.end() : label.end() + 24]
        for offset, when in dates_in(window):
            if not window[:offset].strip():
                yield when, (label.start(), label.end() + offset)
            break


def _decision_making(text: str) -> tuple[str, tuple[int, int]] | None:
    """The level of medical decision making that the note states, in its own word; None where it states none or several."""
    matches = _DECISION_MAKING.finditer(text)
    said = [((m["after"] or m["before"] or m["closing"]).lower(), m.span()) for m in matches]
    return said[0] if len({level for level, _ in said}) == 1 else None


def _subject(text: str, client_names: tuple[str, ...]) -> tuple[int, int] | None:
    """The name in a header that says whose note this is, where it is none of this client's (C25)."""
    own = {word.casefold() for name in client_names for word in re.findall(r"\w+", plain(name))}
    if not own:
        return None
    for header in _CLIENT_HEADER.finditer(text):
        group = "name" if header["name"] else "full"
        words = {w.casefold() for w in re.findall(r"[^\W\d_]{2,}", header[group])}
        if words and not own & words:
            return header.span(group)
    return None


def _uncertain(text: str, codebook: Codebook) -> dict[str, tuple[int, int]]:
    """Diagnoses, by the beginning of their code, that the note names as uncertain and nowhere as established (DX-10)."""
    if not _SAID_UNCERTAIN.search(text):
        return {}
    found: dict[str, tuple[int, int]] = {}
    for prefix, words in codebook.diagnosis_words:
        spans = [match.span() for match in words.finditer(text)]
        doubted = [
            span
            for span in spans
            if _UNCERTAIN.search(text[max(0, span[0] - 60) : span[0]])
            or _RULED_OUT_AFTER.match(text[span[1] : span[1] + 60])
        ]
        if doubted and len(doubted) == len(spans):
            found[prefix] = doubted[0]
    return found


def _with_client_named(text: str, names: tuple[str, ...]) -> str:
    """The text with the client's names written "pt", blank-padded so that every span stays where it is."""
    known = sorted({n for n in names if len(n) >= 2}, key=len, reverse=True)
    if not known:
        return text
    pattern = re.compile(rf"\b(?:{'|'.join(map(re.escape, known))})\b")
    return pattern.sub(lambda match: "pt".ljust(len(match.group(0))), text)


def _first(pattern: Pattern, text: str, unless_before: Pattern | None = None) -> tuple[int, int] | None:
    for match in pattern.finditer(text):
        if unless_before is None or not unless_before.search(text[max(0, match.start() - 60) : match.start()]):
            return match.span()
    return None


def _sections(text: str) -> list[Section]:
    found = []
    matches = [
        m for m in _HEADING.finditer(text) if m["rest"] is not None or _is_title_line(m["title"], text, m.start())
    ]
    for index, match in enumerate(matches):
        end = matches[index + 1].start() if index + 1 < len(matches) else len(text)
        start = match.start("rest") if match["rest"] is not None else match.end()
        found.append(Section(_LETTER.sub("", match["title"].strip()), (start, end), match.start()))
    return found


def _is_title_line(title: str, text: str, start: int) -> bool:
    """A line without a colon is a heading if it is short, unpunctuated, and in capitals or alone after a blank line."""
    words = re.findall(r"[A-Za-z]+", title)
    if not 0 < len(words) <= 6 or not title[0].isupper() or title.endswith((".", ",")):
        return False
    alone = start == 0 or text[max(0, start - 2) : start] in ("\n\n", "\n")
    return title.isupper() or alone or all(w[0].isupper() or len(w) <= 3 for w in words)


def _blank_spans(text: str, sections: list[Section]) -> list[tuple[int, int]]:
    """Headings whose first line holds only a template's placeholder, with that line: treated as absent (domain X-D21)."""
    blank = []
    for section in sections:
        body = section.text(text)
        lead = len(body) - len(body.lstrip())
        first = body.lstrip().split("\n", 1)[0]
        if _PLACEHOLDER.match(first.strip()):
            blank.append((section.start, section.body[0] + lead + len(first)))
    return blank


def _elements(
    text: str, sections: list[Section], blank: list[tuple[int, int]], codebook: Codebook
) -> Mapping[str, tuple[tuple[int, int], ...]]:
    """The places that show each element, looked for when a rule asks for it."""
    empty = {start for start, _ in blank}
    filled: dict[str, list[Section]] = {}  # by title: a note of one heading a thousand times is judged once
    for section in sections:
        if section.start not in empty:
            filled.setdefault(section.title, []).append(section)
    hidden = bytearray(len(text) + 1)
    for start, end in blank:
        hidden[start:end] = b"\x01" * (end - start)

    def places(element: Element) -> Iterator[tuple[int, int]]:
        named = (s for title, s in filled.items() if any(p.fullmatch(title) for p in element.headings))
        for section in sorted(chain.from_iterable(named), key=lambda s: s.start):
            body = section.text(text)
            if len(re.findall(r"\w+", body)) >= 2:
                offset = section.body[0] + len(body) - len(body.lstrip())
                yield offset, offset + len(body.strip())
                break
        for pattern in element.words:
            for match in pattern.finditer(text):
                if not hidden[match.start()] and not (element.denial_is_absence and _denied(text, match.span())):
                    yield match.span()
                    break

    return OnDemand(codebook.elements, lambda name: tuple(places(codebook.elements[name])) or None)


def _denied(text: str, span: tuple[int, int]) -> bool:
    """Whether the note says of these words that it was not so: "no safety plan was made", "referral was declined"."""
    before, after = text[max(0, span[0] - 48) : span[0]], text[span[1] : span[1] + 48]
    return bool(_DENIED_BEFORE.search(before) or _DENIED_AFTER.match(after))


def _instruments(text: str, codebook: Codebook) -> Mapping[str, tuple[int, int]]:
    """The instruments that the note names with a score, near one of their first mentions."""

    def scored(name: str) -> tuple[int, int] | None:
        matches = islice(codebook.instruments[name].finditer(text), _MOST_NAMED)
        return next(
            (m.span() for m in matches if _SCORED.match(text[m.end() : m.end() + 100]) and not _denied(text, m.span())),
            None,
        )

    return OnDemand(codebook.instruments, scored)


def _declared_services(text: str, sections: list[Section], codebook: Codebook) -> dict[str, tuple[int, int]]:
    """Services that the note's own title or service line names."""
    title_end = 0
    for line in islice(_LINE.finditer(text), 4):
        if len(line[0]) <= 120:
            title_end = line.end()
    spans = [(0, title_end)]
    for section in sections:
        if _SERVICE_LABEL.match(section.title):
            line_end = text.find("\n", section.body[0] + len(section.text(text)) - len(section.text(text).lstrip()))
            span = (section.body[0], min(section.body[1], line_end if line_end >= 0 else section.body[1]))
            if not _HOW_OFTEN.search(text, *span):  # else a plan's line about services to come
                spans.append(span)
    declaring = _APART.join(text[start:end] for start, end in spans)  # looked through once, whatever it is made of
    declared = {}
    for service, pattern in codebook.services.items():
        match = pattern.search(declaring)
        if match:
            declared[service] = _in_whole(match.span(), spans)
    return declared


_APART = "\n~\n"  # no pattern reaches over it


def _in_whole(span: tuple[int, int], parts: list[tuple[int, int]]) -> tuple[int, int]:
    """Where a span of the joined parts stands in the text that they were taken from."""
    offset = 0
    for start, end in parts:
        if span[0] < offset + end - start:
            return start + span[0] - offset, start + span[1] - offset
        offset += end - start + len(_APART)
    raise ValueError("the span begins in none of the parts")


def _services_given(text: str, codebook: Codebook, times: tuple[TimeStatement, ...]) -> Mapping[str, tuple[int, int]]:
    """Services that a sentence anywhere speaks of as given in this contact, or that stand on the line of its time."""
    timed = {line_of(text, t.span) for t in times if isinstance(t, ClockRange) and t.role is Role.SESSION}

    def given(service: str) -> tuple[int, int] | None:
        spans = (match.span() for match in codebook.services[service].finditer(text))
        return next((span for span in spans if line_of(text, span) in timed or is_given_now(text, span)), None)

    return OnDemand(codebook.services, given)


def _services_named(text: str, codebook: Codebook) -> Mapping[str, tuple[int, int]]:
    """Services that the text names anywhere, but for lines about services to come ("individual therapy weekly")."""

    def named(service: str) -> tuple[int, int] | None:
        for match in codebook.services[service].finditer(text):
            end = text.find("\n", match.end())
            if not _HOW_OFTEN.search(text, line_of(text, match.span()), end if end >= 0 else len(text)):
                return match.span()
        return None

    return OnDemand(codebook.services, named)
