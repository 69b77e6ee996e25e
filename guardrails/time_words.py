"""The words by which notes state times: clock times, lengths and dates, and what stands beside them.

What a pattern found means is decided in `time_statements`.
"""

from __future__ import annotations

import re

from guardrails.patterns import Pattern, Sieve

HOUR = r"(?P<h{n}>\d{{1,2}})(?:[:.](?P<m{n}>[0-5]\d))?"
HALF = r"(?P<ap{n}>[ap]\.\s?m\.|[ap]\.?\s?m\b|[ap]\b|noon\b)?"
TIME = rf"{HOUR}\s*{HALF}"
TIME_FIRST = rf"{HOUR}\s*+{HALF}"  # before a further run of blanks, with which it does not share its own
MILITARY = r"(?P<h{n}>[01]\d|2[0-3])(?P<m{n}>[0-5]\d)(?P<ap{n}>)(?:\s?(?:h|hrs?|hours)\b)?"
TO = r"\s*(?:-|\bto\b|\buntil\b|\btill\b|\bthrough\b)\s*"
RANGE = Pattern(rf"(?<![\d/.$#-]){TIME_FIRST.format(n=1)}{TO}{TIME.format(n=2)}(?![\d/%-])", re.IGNORECASE)
BETWEEN = Pattern(rf"(?<=\bbetween )\s*{TIME_FIRST.format(n=1)}\s*\band\s*{TIME.format(n=2)}(?![\d/%-])", re.IGNORECASE)
IN_OUT = Pattern(rf"\bin:?\s+{TIME_FIRST.format(n=1)}[\s,;|/]*\bout:?\s+{TIME.format(n=2)}(?![\d/%-])", re.IGNORECASE)
IN_OUT_MILITARY = Pattern(
    rf"\bin:?\s+{MILITARY.format(n=1)}[\s,;|/]*\bout:?\s+{MILITARY.format(n=2)}(?![\d/%-])", re.IGNORECASE
)
MILITARY_RANGE = Pattern(rf"(?<![\d/.$#-]){MILITARY.format(n=1)}{TO}{MILITARY.format(n=2)}(?![\d/%-])", re.I)
# possessive throughout: a run of blanks from a table's padding must not be tried in every split
GAP = (
    r"(?:\s*+(?:time|clock)?+(?:\s*+(?:of\s+)?(?:session|service|contact))?+\s*+(?:\([^)\n]{0,20}\))?+"
    r"\s*+(?:[:=|\t-]|\bat\b|\bis\b|\bwas\b)?+\s*+(?:\d{1,2}/\d{1,2}/(?:\d{4}|\d\d)(?:,|\s+at\b)?\s++)?+)"
)
START = Pattern(
    rf"\b(?:(?:(?:session|service|contact|visit|group|meeting|encounter)\s+)?(?:start(?:ed|s|ing)?|beg[aiu]n(?:ning|s)?|commenced?|open(?:ed|ing))|time\s+in|clock(?:ed)?\s+in|on\s+scene|arriv(?:al|ed)(?:\s+late)?|(?:joined|connected)(?:\s+late)?|logged\s+(?:on|in)(?:\s+late)?|came(?:\s+in)?|showed\s+up|got\s+here|checked\s+in|reconnected|resumed|(?<=\n)in(?=\s*[:|\t])|^in(?=\s*[:|\t]))\b{GAP}{{1,2}}+"
    rf"(?:{TIME.format(n=1)}|(?P<mil1>[01]\d[0-5]\d|2[0-3][0-5]\d))(?![\d/%])",
    re.IGNORECASE,
)
STOP = Pattern(
    rf"\b(?:(?:(?:session|service|contact|visit|group|meeting|encounter)\s+)?(?:stop(?:ped|s)?|end(?:ed|s|ing)?|finish(?:ed)?|conclud(?:ed|es)|complet(?:ed|ion)|clos(?:ed|ing)|wrapped\s+up|adjourned|terminated|hung\s+up|walked\s+out|logged\s+off|cut\s+short|dropped\s+off)|time\s+out|clock(?:ed)?\s+out|cleared|depart(?:ure|ed)|left(?:\s+(?:the\s+)?(?:house|home|apartment|residence|school|site|hospital|office|session)\s+at)?|out(?=\s*[:|\t]))\b{GAP}{{1,2}}+"
    rf"(?:{TIME.format(n=1)}|(?P<mil1>[01]\d[0-5]\d|2[0-3][0-5]\d))(?![\d/%])",
    re.IGNORECASE,
)
TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
ONES = {
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
WORD_NUMBER = rf"(?:(?:{'|'.join(TENS)})(?:[- ](?:{'|'.join(list(ONES)[:9])}))?|{'|'.join(ONES)}|an?(?=\s+hour))"
NUMBER = rf"(?:\d{{1,4}}(?:\.\d{{1,2}})?|{WORD_NUMBER})"
HOURS = r"(?:hours?|hrs?\.?|h)\b"
MINUTES = r"(?:minutes?|mins?\.?)(?!\w)"
DURATION = Pattern(  # ahead of all a number with an h or m behind it: most words go no further
    rf"(?<![\w.:/-])(?:(?={NUMBER}[\s-]*[hm])(?:(?P<hours>{NUMBER})[\s-]*{HOURS}(?:,?\s*(?:and\s+)?(?P<more>{NUMBER})[\s-]*(?:{MINUTES}|m\b))?"
    rf"|(?P<minutes>{NUMBER})[\s-]*{MINUTES})|(?P<part>half|three[ -]quarters|quarter)(?:[ -]of)?(?:[ -]an?)?[ -]hour\b)",
    re.IGNORECASE,
)
# "Total minutes: 45", "Session length (min): 45"
LABELLED_NUMBER = Pattern(
    r"\b(?:(?:total|session|service|contact|face[- ]to[- ]face|psychotherapy|therapy|direct|billable)\s+(?:time|minutes|mins?|length|duration)"
    r"|duration|length of (?:session|service|contact|visit))\s*(?:of (?:session|service))?\s*\((?:in )?min(?:ute)?s?\.?\)\s*[:=|]?\s*(?P<n>\d{1,4})\b(?!\s*[:/.]\d)"
    r"|\b(?:total|session|service|contact|direct|face[- ]to[- ]face|psychotherapy)\s+minutes(?: of (?:session|service))?\s*[:=|]?\s*(?P<n2>\d{1,4})\b(?!\s*[:/.]\d)"
    r"|\b(?:total(?: time)?|duration|length(?: of session)?)\s*[:=|]\s*(?P<hh>\d{1,2}):(?P<mm>[0-5]\d)\b(?!\s*(?:[ap]\.?m|-|to\b))",
    re.IGNORECASE,
)
DATE = Pattern(
    r"\b(?:(?P<m>\d{1,2})(?:[/-](?P<d>\d{1,2})[/-](?P<y>\d{4}|\d{2})|\.(?P<d2>\d{1,2})\.(?P<y2>\d{4}))|(?P<iso>\d{4}[-/]\d{2}[-/]\d{2})|"
    r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+(?P<nd>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<ny>\d{4})|"
    r"(?P<nd2>\d{1,2})(?:st|nd|rd|th)?(?:\s+|-)(?P<name2>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?(?:\s+|-)(?P<ny2>\d{4}))\b",
    re.IGNORECASE,
)
NEAR_DATE = Pattern(
    r"(?<![\d/:.])(?:(?P<iso>\d{4}-\d{2}-\d{2})|(?P<m>1[0-2]|0?[1-9])[/-](?P<d>3[01]|[12]\d|0?[1-9])(?:[/-](?P<y>\d{4}|\d{2}))?(?![\d/:])"
    r"|(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+(?P<nd>\d{1,2})(?!\d|:)(?:,?\s+(?P<ny>\d{4}))?"
    r"|(?P<nd2>\d{1,2})\s+(?P<name2>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?(?:\s+(?P<ny2>\d{4}))?)",
    re.IGNORECASE,
)
OF_DATE = re.compile(
    r"\d|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec", re.IGNORECASE
)  # one is in any date's last word
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

NEVER_COUNTS = Pattern(
    r"\b(?:non[- ]?billable|document(?:ing|ation)|charting|paperwork|writing (?:the |this |up )?(?:note|report)|note[- ]writing|travel(?:led|ing)?|driv(?:e|ing)|drove"
    r"|transport(?:ed|ing|ation)?|wait(?:ed|ing)?|scheduling|supervision|staff meeting|voicemail|no[- ]?show|asleep|lunch|meals?)\b",
    re.IGNORECASE,
)
INTERRUPTS = Pattern(
    r"\b(?:breaks?|interrupt\w*|left the (?:room|session|office|building)|stepped (?:out|away|outside)|paused?|restroom|bathroom|smoke[d]?"
    r"|out of (?:the |his |her |their )?(?:room|office|session)|fire (?:drill|alarm)|took a (?:phone )?call|on the phone with|disconnect\w*|lost (?:the )?(?:connection|internet|video|audio|signal)|dropped call|tech(?:nical|nology)? (?:difficult|issue|problem)\w*|(?:connection|video|audio|call|internet|signal)\b.{0,20}?\b(?:lost|dropped|froze|cut out))\b",
    re.IGNORECASE,
)
ELSEWHERE = Pattern(
    r"\b(?:weekly|monthly|daily|nightly|bi-?weekly|per (?:week|day|month)|a (?:day|week|night|month)|(?:each|every|most|some) (?:other )?(?:week|day|morning|evening|night|time|month)"
    r"|will|plans? to|planned|homework|practi[cs]e (?:at home|for|daily)|next|upcoming|schedul(?:ed|e)|recommend\w*|frequency|objectives?|goals?|previous(?:ly)?|prior|last (?:session|visit|week|time|night|month)"
    r"|late|early|rtc|refer(?:red|ral|s)?|booked|reserved|authoriz\w*|approved|watch(?:ed|ing)?|naps?|napped|takes|hours|sleep\w*|slept|asleep|awake|bed|ago|usually|typically|average|walk(?:s|ed|ing)?|exercis\w+|after work|shift|works|(?:client|pt|he|she|they|who|at|from|to) work|work (?:hours|schedule|day)|appointment|return(?:s)? (?:on|in)|tomorrow|yesterday|x ?/|times?/|up to|before (?:school|work|bed)|office hours|long[- ]term|target|within|template)\b"
    r"|/\s?(?:week|wk|day|mo(?:nth)?)\b|\bx\s?/|\d\s?x\b",
    re.IGNORECASE,
)
PLANNED = Pattern(
    r"\b(?:will|weekly|daily|next|plans?|each|every|usual(?:ly)?|per (?:day|week|month))\b", re.IGNORECASE
)
WEEKDAY = Pattern(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b", re.IGNORECASE)
# a part of the session, of which the note does not say that it is none
PART = Pattern(
    r"\b(?:of (?:these|which|this)|first|last|left early|alone|ended early|includ(?:es|ed|ing)|was present for)\b",
    re.IGNORECASE,
)
# "through the last six hours" tells of the time before
RECALLED = Pattern(r"\b(?:over|through|in|for|within|during) the (?:last|past|first)\s*$", re.IGNORECASE)
APART = Pattern(
    r"\b(?:plus|added|in addition|additional|not (?:counted|included|part|billed|billable)|before|after(?:wards?)?|separate(?:ly)?|excluding|outside)\b|\+",
    re.IGNORECASE,
)
LABEL_BEFORE = Pattern(
    r"(?:(?:total|session|service|contact|visit|encounter|face[- ]to[- ]face|psychotherapy|therapy|treatment|direct|billable|actual|counseling|group)\s+(?:\w+\s+){0,2}?(?:time|length|duration|minutes)"
    r"|time on [^.\n;:]{3,60}|duration|length(?: of (?:the )?(?:session|service|visit|contact|group|meeting|interview|assessment))?|time(?: spent(?: [\w-]+){0,4})?|total|billable)\s*(?:\([^)\n]{0,40}\))?\s*(?:of (?:session|service|contact|psychotherapy))?\s*(?:[:=|\t]|\bis\b|\bwas\b|\bof\b)\s*$"
    r"|(?:\btime in\s+)?\b(?:psychotherapy|therapy|counseling|face[- ]to[- ]face)\s+$"
    r"|^\W*total (?:session |service |contact |face[- ]to[- ]face )?(?:time|minutes|duration)\s+$",
    re.IGNORECASE,
)
CONTACT = r"(?:session|visit|contact|service|encounter|psychotherapy|therapy|counseling)"
OUR_CONTACT = r"(?:the|this|today's|our)\s+(?:\w+\s+){0,2}?(?:meeting|group|interview|appointment|hour|assessment)"
STAFF = r"(?:we|i|staff|therapist|clinician|counselor|counsellor|writer|worker|provider|facilitator)"
VERB_BEFORE = Pattern(
    rf"(?:(?:\b{CONTACT}s?|\b{OUR_CONTACT})\s+(?:\w+\s+){{0,3}}?(?:last(?:ed|ing)|was|of|for|ran|took|total(?:l?ed|ing)?|came to|went(?: on)?)(?: for)?"
    rf"|\b{STAFF}\s+(?:\w+\s+){{0,2}}?(?:spent|(?:met|sat|talked|worked|spoke|provided|conducted|held|saw)\b[^.\n;]{{0,50}}?\bfor)"
    rf"|\b(?:client|patient|pt|ct|consumer|member|individual)\s+(?:was|were)\s+seen\b[^.\n;]{{0,50}}?\bfor"
    r"|(?:^|[.:]\s*)\s*(?:spent|(?:met|seen|sat|worked|spoke|provided|conducted)\b[^.\n;]{0,50}?\bfor)"
    r"|^\s*lasted)\s*(?:a total of |a full |approximately |about |exactly |just under |just over )?$",
    re.IGNORECASE,
)
NOUN_AFTER = Pattern(
    r"^[\s-]*(?:\(?(?:\w+[\s-]+){0,3}?(?:session|visit|contact|interview|psychotherapy|therapy|counseling|face[- ]to[- ]face|in[- ]person|group|meeting|appointment)\b"
    r"|of (?:\w+[\s-]+){0,3}?(?:psychotherapy|therapy|counseling|face|skills|training|direct|service|contact|treatment|rehabilitation|assessment|session)"
    r"|(?:were |was )?spent (?:in|on|with)|total\b|with (?:the )?(?:client|patient)|face[- ]to[- ]face|in session|duration|in (?:total|length|duration|all)|altogether|all told|together|long\b|(?:from )?start to finish)",
    re.IGNORECASE,
)
GIVEN = Pattern(
    r"\b(?:seen|met|attended|provided|conducted|held|completed|facilitated|received|participated|engaged|delivered|today|this (?:session|visit|contact|meeting|group|service))\b",
    re.IGNORECASE,
)
CLOCK_LABEL = Pattern(
    r"\b(?:times?|session|service|contact|visit|encounter|start|stop|began|ended|in/out|seen|met|meeting|group|interview|assessment|evaluation|psychotherapy|therapy|counseling|training|testing|"
    r"screening|planning|treatment|hour|date|dos|duration|length|clock|held|call)\b[^.\n;]{0,60}$|\b\d{1,2}/\d{1,2}(?:/\d{2,4})?\W{0,6}$",
    re.IGNORECASE,
)
LEADING_CUE = Pattern(
    r"\W*(?:f2f|face|in[- ]person|1:1|indiv|session|client|ct|pt|patient|clinic|office|home|school|community|telehealth|video|at\b|in\b)",
    re.IGNORECASE,
)
SESSION_LABEL = Pattern(
    r"\b(?:time|start|stop|begin|end|session|service|seen|met|in/out|attended|held|conducted|from|between)\b[^.\n]{0,40}$",
    re.IGNORECASE,
)

# "Time: 10-11"; a score that "went from 6 to 3" is no time
BARE_LABEL = Pattern(r"\b(?:times?|session|hours|seen|met)(?:\s+(?:from|between))?\s*[:|]?\s*$", re.IGNORECASE)

# a plan's or a payer's minutes, not the session's
AIMED = Pattern(r"\b(?:planned|scheduled|frequency|target|goal|objective|authoriz\w*)\b", re.IGNORECASE)
THEY = r"(?:client|patient|pt|ct|he|she|they)"
ABOUT = r"(?:about |approximately |some )?"
CAME_OR_WENT = (  # an interruption, or a session that began or ended otherwise than its times may say
    rf"{THEY}\s+(?:stepped (?:out|away|outside)|left the (?:room|session|office)|left early(?! from)|was out of the room)(?! at the end| calm| smil)",
    rf"{THEY}\s+(?:left|ended|stopped|finished) {ABOUT}\d{{1,3}}[ -]*min(?:ute)?s? early\b",
    rf"{THEY}\s+(?:asked|had|needed|chose|wanted) to (?:leave|end|stop) (?:{ABOUT}\d{{1,3}}[ -]*min(?:ute)?s? )?(?:early\b(?=[ ]?[.,;\n]| (?:today|due|because))|at \d)",
    r"connection (?:was )?(?:lost|dropped)|joined (?:the )?(?:session|video|call) (?:late|at \d)",
    r"(?:took|had|needed) (?:a|an|two|three|several|some) (?:\w+[- ]){0,2}breaks?|break from \d",
    r"(?:session|visit|appointment|contact) (?:was )?(?:ended|stopped|cut|terminated|started|began) (?:early|short|late)\b",
    # late, and no word before or behind it says for what else
    rf"(?:(?<!when )(?<!if ){THEY}\s+(?:was|were|ran|(?:was|is) running|arrived|came|joined|showed up|logged (?:on|in)|connected)|(?:^|(?<=[.;\n] ))arrived)\s+"
    rf"(?:{ABOUT}{NUMBER}[ -]*min(?:ute)?s? |(?:a (?:few|little|bit) |several |very )*)late\b"
    r"(?! (?:on|with|in|again|\w+ing|because|last|twice|fees?|at night|(?:to|for) (?!(?:the |this |today's |our |group |family )*(?:session|appointment|visit|group|meeting|contact))))",
)
LEFT = Pattern(rf"\b(?:{'|'.join(CAME_OR_WENT)})", re.IGNORECASE | re.MULTILINE)
OWN_AFFAIR = Pattern(  # the client's, not this contact
    rf"\b{THEY}\s+(?:had|met|attended|received|completed|saw|visited)\b(?:(?!\bsession\b)[^.;\n]){{0,40}}$",
    re.IGNORECASE,
)
WITH_OTHERS = Pattern(
    r"\b(?:with|from) (?:his|her|their|an?|the) (?:pcp|doctor|lawyer|attorney|probation|dentist|psychiatrist|daughter|son|friend|sponsor|boss|teacher)|\bcourt\b|\blawyer\b|\bpcp\b|\b(?:from|with) dr\b|\bphysical therapy\b",
    re.IGNORECASE,
)
NO_SESSION = Pattern(
    r"\b(?:rescheduled|moved|changed) (?:to|for)\s*$|\bnot an?\s*$|\b(?:panic attacks?|tantrum|argument|meltdown|seizure)\b(?:(?!\b(?:session|psychotherapy|therapy)\b)[^.;\n]){0,30}$",
    re.IGNORECASE,
)
NEARBY = re.compile(r"[,()+]|\s-\s|\band\b|\bplus\b", re.IGNORECASE)
MERE = re.compile(  # words that say nothing of what the time was
    r"\W*(?:(?:for|about|approximately|approx|around|roughly|some|x|of|a|an|the|another|only|lasting|lasted)\b\W*)*",
    re.IGNORECASE,
)
BOUND = Pattern(  # no more than the time that follows, and nobody knows how much less
    r"\b(?:under|below|less than|shy of|almost|nearly|close to|not quite|at most|no (?:more|longer) than)\s*$",
    re.IGNORECASE,
)
REPEATED = Pattern(r"^\W*(?:\w+\W+){0,2}?(?:x\s?[2-9]|twice|(?:two|three|four|several) times)\b", re.IGNORECASE)
# "began", "ended": of the contact, or of what the client tells of?
BEGAN = r"start(?:ed|s)|beg[au]n|begins|commenced|opened|arrived|joined|connected"
TOLD = re.compile(
    rf"(?:{BEGAN}|logged|came|showed|got|checked|reconnected|resumed|terminated|hung|walked|cut|dropped|stop(?:ped|s)|end(?:ed|s)|finished|conclud\w+"
    r"|completed|closed|departed|left)\b(?!\s*[:=|\t])",
    re.IGNORECASE,
)
TOLD_BEFORE = re.compile(
    rf"\b(?:{BEGAN}|logged (?:on|in))\W*(?:at\W*)?\d{{1,2}}(?:[:.]?\d\d)?\W*(?:[ap]\.?m\b)?\W*(?:(?:and|then|also)\W+)*$",
    re.IGNORECASE,
)
REPORTED = Pattern(
    r"\b(?:that|sa(?:id|ys)|report(?:ed|s)|stat(?:ed|es)|told|tells|shared?s?(?! (?:an?|the|some|his|her) )|describe[ds]?|recall(?:ed|s)|explain(?:ed|s)|recounted|according to)\b",
    re.IGNORECASE,
)
WHO = r"(?:we|i|chw|qmh[sp]|cps|qp|peer|coach|mentor|specialist|aide|tech(?:nician)?|nurse|advocate|navigator|staff|writer|therapist|clinician|counsell?or|provider|worker|manager|facilitator|client|patient|pt|ct|member|consumer|individual|he|she|they|it)"
WHAT = r"(?:time|sessions?|services?|lesson|outing|practice|teaching|skills?(?: \w+)?|rehab(?:ilitation)?|zoom|video(?: link)?|time together|contact|visit|group|meeting|encounter|appointment|interview|assessment|evaluation|intake|treatment|psychotherapy|therapy|counseling|telehealth|call|class|training|activity)"
OF_CONTACT = Pattern(
    rf"\b(?:{WHO}|{WHAT})(?:\s+(?:was|were|is|has|had|then|also|both|and))*\W*$|^\W*(?:\w+\W+){{0,4}}{WHAT}\b",
    re.IGNORECASE,
)
RESTATES = re.compile(
    r"[\s(=,;:|-]*(?:for |i\.e\.,? |total(?: time)?(?: of)?:? ?|or |duration:? ?)?[\s(]*$", re.IGNORECASE
)
A_TIME = re.compile(r"\b(\d{1,2}):([0-5]\d)\b")
ANY_LETTER = re.compile(r"[A-Za-z]")
DATE_BEFORE = re.compile(r"\b\d{1,2}/\d{1,2}/\d{2,4}[ \t]+$")
INTRODUCES = re.compile(r"\b(?:from|between)\b", re.IGNORECASE)
SEVERAL = re.compile(r"\b(?:two|three|four|several|[2-9])\s*$", re.IGNORECASE)
LEFT_EARLY = re.compile(r"\bleft early\b", re.IGNORECASE)
PSYCHOTHERAPY = Pattern(
    r"\bpsychotherapy\b|(?<!physical )(?<!occupational )(?<!speech )(?<!light )(?<!music )(?<!group )(?<!respiratory )\btherapy\b",
    re.IGNORECASE,
)
NOT_GIVEN = Pattern(  # psychotherapy declined, ordered, or somebody else's
    r"\b(?:declin\w+|refused|offer(?:s|ed)?|order(?:s|ed)?(?: of)?(?<!in order)(?<!in order of)|needs psychotherapy|not (?:provided|done|given|performed)|no psychotherapy|sees|attends|continues? (?:psycho)?therapy"
    r"|receiv(?:es|ing)|yesterday\S*|at school|group therapy|by (?-i:[A-Z]\b)|with (?:dr\b|an? (?:therapist|counselor|LCSW)|LCSW|therapist)|combined|or less|\[ ?\])",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"[\n;]|[.!?](?:\s+(?=[A-Z0-9\"])|\s*$)")
OF_RECORD = re.compile(
    r"\b(?:notes?|documentation|charts?|forms?|paperwork|reports?|shift|pain|symptoms?)[ ]?\Z", re.IGNORECASE
)
STANDS_ALONE = re.compile(r"[ \t]*(?:\Z|\n|[(|,.;\t]|\s{2})")
NOT_TICKED = re.compile(r"(?:\[[ \t]?\]|\([ \t]\)|[\u2610\u25a1])[^\[(\u2610\u2611\u2612\u25a1\n]*$")
NAME_OF_CODE = re.compile(r"\b908(?:3[2-8])\b[^\n.;]{0,40}$")
DESCRIBED = frozenset({16, 30, 38, 45, 53, 60})  # minutes that go with a code's name


SIEVE = Sieve(each for each in tuple(globals().values()) if isinstance(each, Pattern))
"""Every pattern of this module."""
