"""Over generated visits, payers and proposals: no exception, no line above proposal or record, no line without evidence."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails import Outcome, Proposal, Quoted, check, codebook, policies, time_units
from guardrails.policies import QuarterHourRule
from guardrails.time_statements import read_times
from tests.conftest import BACHELOR, LCSW, SKILLS, THERAPY, TODAY, a_note, a_visit

BOOK = codebook.load()
POLICIES = [policies.load(name) for name in policies.packaged()]
CODES = st.sampled_from(
    [
        "H2014",
        "H2017",
        "H0031",
        "H0032",
        "H0004",
        "90832",
        "90834",
        "90837",
        "90847",
        "90853",
        "90785",
        "H20",
        "T1002",
        "h2014 ",
    ]
) | st.text(max_size=6)
UNITS = st.integers(-2, 120) | st.floats() | st.text(max_size=3) | st.none()
QUOTES = st.sampled_from(
    ["Signed by", "Service:", "Start time", "Time:", "Client reported", "never said this", ""]
) | st.text(max_size=12)
PROPOSALS = st.lists(
    st.builds(
        Proposal,
        code=CODES,
        units=UNITS,
        modifiers=st.lists(st.sampled_from(["HN", "HO", "HQ", "U4", "59", "ZZ", "x"]), max_size=5).map(tuple),
        quotes=st.lists(st.builds(Quoted, QUOTES), max_size=3).map(tuple),
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(
    start=st.integers(0, 23 * 60),
    length=st.integers(1, 600),
    template=st.sampled_from([SKILLS, THERAPY]),
    noise=st.text(max_size=60),
    policy=st.sampled_from(POLICIES),
    proposals=PROPOSALS,
)
def test_lines_never_exceed_proposal_or_record(
    start: int, length: int, template: str, noise: str, policy: policies.Policy, proposals: list[Proposal]
) -> None:
    """The invariant of law 2, whatever is proposed: units <= min(proposed, the most any payer's rule allows), and a known code."""
    end = min(start + length, 24 * 60 - 1)
    text = template.format(start=f"{start // 60:02}:{start % 60:02}", stop=f"{end // 60:02}:{end % 60:02}") + noise
    author = BACHELOR if template is SKILLS else LCSW
    visit = a_visit(a_note(text, author=author), starts=None, ends=None)
    verdicts = check(visit, TODAY, proposals, (), BOOK, policy)
    assert len(verdicts.verdicts) == len(proposals)
    for verdict in verdicts.verdicts:
        if verdict.fix is not None:
            assert verdict.outcome is Outcome.HELD
            assert isinstance(verdict.proposal.units, int)
            assert verdict.fix.units <= verdict.proposal.units
        if verdict.outcome is not Outcome.READY:
            continue
        line = verdict.line
        assert line is not None
        assert line.quotes
        assert isinstance(verdict.proposal.units, int)
        assert 1 <= line.units <= verdict.proposal.units
        assert line.code == verdict.proposal.code.strip().upper()
        meaning = BOOK.find(line.code, line.date_of_service)
        assert meaning is not None
        if meaning.step_minutes == 15:
            assert line.units <= time_units.quarter_hours(end - start, QuarterHourRule.CEIL15)
        if meaning.ladder:
            assert (meaning.from_minute or 0) <= end - start


@settings(max_examples=150, deadline=None)
@given(proposals=PROPOSALS, seed=st.randoms(use_true_random=False))
def test_order_does_not_matter(proposals: list[Proposal], seed: object) -> None:
    """Each proposal gets the same outcome and findings wherever it stands; equals may trade places."""
    visit = a_visit(a_note(SKILLS.format(start="2:00 PM", stop="2:45 PM")))
    policy = policies.load("medicaid-whole-unit")
    shuffled = list(proposals)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]

    def told(listed: list[Proposal]) -> list[str]:
        verdicts = check(visit, TODAY, listed, (), BOOK, policy).verdicts
        return sorted(repr((v.proposal, v.outcome, v.findings, v.fix, v.line)) for v in verdicts)

    assert told(proposals) == told(shuffled)


@settings(max_examples=300, deadline=None)
@given(st.text() | st.text(alphabet="0123456789:-–apm. toStartStopendbegin\n|", max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    """Arbitrary Unicode, and texts dense with almost-times: spans lie inside, in order, and nothing is raised."""
    for statement in read_times(text):
        assert 0 <= statement.span[0] < statement.span[1] <= len(text)
