"""Official files in their publishers' layouts: read whole over the packaged tables, or refused whole with the line."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from guardrails import Outcome, check, policies
from guardrails.claim_edits import across_lines
from guardrails.codebook import Codebook
from guardrails.official import OfficialTable, overlay
from guardrails.visit import Context, Diagnosis, Known
from plugin import official_files, tables
from plugin.cli import main
from plugin.official_files import UnusableTable
from plugin.settings import Settings
from tests.conftest import DAY, TODAY, asked, skills, therapy
from tests.spec.test_lines_together import examined

HEAD_OF_PAIRS = (
    "CPT only copyright 2025 American Medical Association. All rights reserved.",
    "Column1/Column2 Edits",
    "Column 1\tColumn 2\t*=in existence prior to 1996\tEffective Date\tDeletion Date *=no data\t"
    "Modifier 0=not allowed 1=allowed 9=not applicable\tPTP Edit Rationale",
)
NOTHING_ELSE = Context(today=date(2026, 11, 1), client_lines=Known(()))


def record(code: str, kind: str = "3", *, cover: str = "I", added: str = "20030101", ended: str = "") -> str:
    """A record of the quarterly HCPCS file, 320 characters."""
    line = [" "] * 320
    for at, text in (
        (1, code if kind in "34" else f"   {code}"),
        (6, "00100"),
        (11, kind),
        (92, "OUR OWN TEXT"),
        (230, cover),
        (269, added),
        (285, ended),
        (293, "N"),
    ):
        line[at - 1 : at - 1 + len(text)] = text
    return "".join(line)


def in_force(book: Codebook, on: date) -> list[str]:
    return sorted(
        c for c, m in book.codes.items() if c[0].isalpha() and c[1:].isdigit() and len(c) == 5 and m[-1].in_force(on)
    )


@pytest.fixture
def quarterly(book: Codebook) -> list[str]:
    """The HCPCS file of 2026-01: H0053 is gone, H0052 ends, H2055 and modifier V9 are new."""
    lines = []
    for code in in_force(book, date(2026, 1, 1)):
        if code != "H0053":
            lines += [record(code, ended="20260131" if code == "H0052" else ""), record(code, "4")[:100]]
    return [*lines, record("H2055", added="20260101"), record("V9", "7", added="20260101")]


def write(folder: Path, name: str, lines: list[str] | tuple[str, ...]) -> Path:
    file = folder / name
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def over(book: Codebook, file: Path) -> Codebook:
    return overlay(book, [official_files.read(file, book)])


def as_table(lines: list[str]) -> list[str]:
    """The same records as the table that CMS publishes beside the fixed-width file."""
    rows = [
        f"{line[0:5].strip()}\t{line[5:10]}\t{line[10]}\t{line[11:91].strip()}\t{line[91:119].strip()}\t{line[229]}\t"
        f"{line[268:276].strip()}\t{line[284:292].strip()}\tN"
        for line in (line.ljust(320) for line in lines)
    ]
    return ["HCPC\tSEQNUM\tRECID\tLONG DESCRIPTION\tSHORT DESCRIPTION\tCOV\tADD DT\tTERM DT\tACTION CD", *rows]


@pytest.mark.parametrize("layout", [lambda lines: lines, as_table], ids=["fixed width", "table"])
def test_the_quarterly_hcpcs_file_moves_dates_and_adds_codes(
    layout: Callable[[list[str]], list[str]], quarterly: list[str], book: Codebook, tmp_path: Path
) -> None:
    """New codes are known and held, codes that the file ends or no longer holds are not in force, rules stay ours."""
    newer = over(book, write(tmp_path, "HCPC2026_JAN_ANWEB.txt", layout(quarterly)))
    day = date(2026, 2, 10)
    assert newer.find("H2055", day) is not None
    assert newer.find("H0052", day) is None
    assert newer.find("H0053", day) is None
    assert newer.find("H0053", date(2025, 12, 31)) is not None
    assert newer.find("H2014", day) == replace(book.find("H2014", day), in_force_from=date(2003, 4, 1))  # type: ignore[type-var]
    assert "V9" in newer.modifiers
    assert newer.tables["hcpcs"].covers_through == date(2026, 3, 31)
    verdict = check(
        skills(),
        TODAY,
        [asked("H2055", modifiers=("HN",)), asked("H2099")],
        (),
        newer,
        policies.load("medicaid-generic"),
    ).verdicts
    assert [v.outcome for v in verdict] == [Outcome.HELD, Outcome.REJECTED]
    assert "through 2026-03-31" in verdict[1].findings[-1].authority


def test_a_finding_names_the_pair_table_and_its_date(book: Codebook, tmp_path: Path) -> None:
    """Medicaid's own pairs count for Medicaid alone, between their dates, and by their indicator."""
    rows = [
        "H2014\tH2017\t\t20261001\t*\t0\tMisuse",
        "H2017\tH2015\t\t20200101\t20260930\t0\tx",
        "H0031\tH0032\t*\t19960101\t*\t9\tx",
    ]
    newer = over(book, write(tmp_path, "medicaid-ncci-2026q4-ptp.txt", [*HEAD_OF_PAIRS, *rows]))
    medicaid, medicare = newer.edits.pairs_for("medicaid"), newer.edits.pairs_for("medicare")
    assert medicaid.name == "NCCI Medicaid practitioner pairs of 2026-10-01"
    on = date(2026, 10, 5)
    assert medicaid.either("H2017", "H2014", on) is not None
    assert medicaid.either("H2017", "H2014", date(2026, 9, 30)) is None
    assert medicaid.either("H2015", "H2017", on) is None
    assert medicaid.either("H0031", "H0032", on) is None
    assert medicare.either("H2017", "H2014", on) is None
    lines = [examined("H2014", 0, newer), examined("H2017", 1, newer)]
    across = across_lines(lines, skills(date_of_service=on), NOTHING_ELSE, newer, policies.load("medicaid-generic"))
    (refused,) = [f for f in across[1] if f.rule_id == "EDIT-060"]
    assert refused.authority == "NCCI Medicaid practitioner pairs of 2026-10-01, indicator 0; domain 6.1"


def test_medicaids_pair_file_has_no_column_for_1996(book: Codebook, tmp_path: Path) -> None:
    """Six columns, headings of its own, and an empty deletion date where the pair is in force."""
    lines = ["Col1\tCol2\tEffDt\tDelDt\tModifierIndicator\tPTP Edit Rationale", "H2014\tH2017\t20261001\t\t1\tMisuse"]
    newer = over(book, write(tmp_path, "medicaid-ncci-2026-q4-ptp-edits.txt", lines))
    pair = newer.edits.pairs_for("medicaid").either("H2014", "H2017", date(2026, 12, 1))
    assert pair is not None
    assert not pair.never


@pytest.mark.parametrize("count", [199, 3000])
def test_a_quotation_mark_in_tabbed_text_swallows_no_record(count: int, book: Codebook, tmp_path: Path) -> None:
    """A rationale that begins with one is read like any other, and so is every record after it; paired ones are taken off."""
    rows = [f"90834\t{number:05}\t\t20260101\t*\t0\tMisuse of column two" for number in range(count)]
    rows[5] = rows[5].replace("Misuse", '"Misuse')
    rows[-1] = '"H2014"\t"H2017"\t\t"20260101"\t*\t"0"\t"Misuse, of it"'
    read = official_files.read(write(tmp_path, "ptp2026q1.txt", [*HEAD_OF_PAIRS, *rows]), book)
    assert read.read == count
    assert [p.column_2 for p in read.pairs if p.column_1 == "H2014"] == ["H2017"]


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("MCR_MUE_PractitionerServices_Eff_07-01-2026.csv", date(2026, 7, 1)),
        ("medicaid-ncci-2026-q3-mue-edits.txt", date(2026, 7, 1)),
        ("medicaid-ncci-q1-2026-mue-edits.txt", date(2026, 1, 1)),
        ("mue_20260401.csv", date(2026, 4, 1)),
        ("mue-october-2026.csv", date(2026, 10, 1)),
    ],
)
def test_a_files_name_says_from_when_it_counts(name: str, begins: date, book: Codebook, tmp_path: Path) -> None:
    """As the publishers write it."""
    read = official_files.read(write(tmp_path, name, ["HCPCS/CPT Code,MUE Values", "H2014,1"]), book)
    assert (read.effective_from, read.payer) == (begins, "medicaid" if "medicaid" in name else "medicare")


def test_medicaids_unit_limits_count_for_medicaid(book: Codebook, tmp_path: Path) -> None:
    """A line above the MUE value is refused whole, and the finding names the table."""
    file = write(
        tmp_path,
        "Medicaid_MUE_2026Q1.csv",
        ['"HCPCS/', 'CPT Code",Practitioner Services MUE Values,MUE Rationale', 'H2014,2,"Nature, of it"', "ZZ999,1,x"],
    )
    newer = over(book, file)
    found = check(
        skills(), TODAY, [asked("H2014", 3, modifiers=("HN",))], (), newer, policies.load("medicaid-whole-unit")
    )
    (limit,) = found.verdicts[0].findings
    assert (limit.rule_id, limit.authority) == ("UNIT-042", "Medicaid practitioner MUE table of 2026-01-01; domain 6.4")
    before = replace(skills(), date_of_service=date(2025, 12, 31), starts=None, ends=None)
    earlier = check(
        before, TODAY, [asked("H2014", 3, modifiers=("HN",))], (), newer, policies.load("medicaid-whole-unit")
    )
    assert "UNIT-042" not in {f.rule_id for f in earlier.verdicts[0].findings}


@pytest.mark.cpt
@pytest.mark.parametrize(
    "lines",
    [
        [
            "AOC_Edit_Type\tAdd-On_Code\tAOC_DelDT\tPrimary_Code\tPrimary_Code_DelDT\tAOC_Edit_EffDT\tAOC_Edit_DelDT",
            "1\t90785\t\t90791\t\t20130101\t",
            "1\t90785\t\t90853\t\t20130101\t20200101",
            "1\t90840\t\t90839\t\t20130101\t",
            "3\t90840\t\tCCCCC\t\t20130101\t",
            "1\t0001T\t\t0002T\t\t20130101\t",
        ],
        [
            "190785       90791       2013001",
            "190785       90853       20130012020001",
            "190840       90839       2013001",
            "190840       CCCCC       2013001",
            "10001T       0002T       2013001",
        ],
    ],
    ids=["table", "fixed width"],
)
def test_the_add_on_file_says_which_primaries_there_are(lines: list[str], book: Codebook, tmp_path: Path) -> None:
    """Relations in force replace ours; ended ones and codes that we do not know are left out."""
    newer = over(book, write(tmp_path, "AOC_V2026Q1.txt", lines))
    assert newer.codes["90785"][-1].add_on_to == {"90791"}
    assert newer.codes["90840"][-1].add_on_to == {"90839"}
    assert newer.codes["96131"][-1].add_on_to == book.codes["96131"][-1].add_on_to


ORDER = [
    "00001 F32     0 Our own text                                                 Our own text",
    "00002 F321    1 Our own text                                                 Our own text",
    "00003 F3211   1 Our own text                                                 Our own text",
    "00004 Z630    1 Our own text                                                 Our own text",
]


def test_an_icd_10_cm_order_file_rules_its_fiscal_year(book: Codebook, tmp_path: Path) -> None:
    """A subdivision that is new in October counts from October; the year before stays as it was; after it a code holds."""
    newer = over(book, write(tmp_path, "icd10cm_order_2027.txt", ORDER))
    policy = policies.load("medicaid-whole-unit")

    def said(day: date, code: str) -> set[str]:
        visit = replace(
            therapy(), date_of_service=day, starts=None, ends=None, diagnoses=(Diagnosis(code=code, condition_id="c"),)
        )
        context = replace(NOTHING_ELSE, today=date(2028, 1, 1))
        return {
            f.rule_id
            for f in check(visit, context, [asked("H0004")], (), newer, policy).verdicts[0].findings
            if f.rule_id[:2] == "DX"
        }

    assert said(date(2026, 10, 1), "F32.11") == set()
    assert said(date(2026, 9, 30), "F32.11") == {"DX-022"}
    assert said(date(2026, 10, 1), "F32") == {"DX-021"}
    assert said(date(2026, 10, 1), "F33.1") == {"DX-022"}
    assert said(date(2027, 10, 1), "F33.1") == set()


@pytest.mark.cpt
def test_a_licensed_cpt_list_makes_codes_known_and_nothing_more(book: Codebook, tmp_path: Path) -> None:
    """How a new code is counted no list says, so it is held; codes that we have stay as they are."""
    newer = over(
        book, write(tmp_path, "cpt2027-01-01.txt", ["Licensed to the clinic", "", "90834 own text", "99998\town text"])
    )
    assert newer.codes["90834"] == book.codes["90834"]
    assert newer.find("99998", DAY) is not None
    assert newer.tables["cpt"].covers_through == date(2027, 12, 31)


def with_line(number: int, text: str) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        return [*lines[: number - 1], text, *lines[number:]]

    return change


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        (
            "ptp2026q1.txt",
            [*HEAD_OF_PAIRS, "90834\t90832\t\t20130101\t*\t5\tx"],
            "line 4: the modifier indicator is none of 0, 1, 9",
        ),
        (
            "ptp2026q1.txt",
            [*HEAD_OF_PAIRS, "90834\t90832\t\t20131301\t*\t0\tx"],
            "line 4: the effective date is no date",
        ),
        (
            "ptp2026q1.txt",
            [*HEAD_OF_PAIRS, "90834\t90832\t\t20130101\t*\t0\tx", "9083"],
            "line 5: it is no record of this table",
        ),
        ("ptp2026q1.txt", [*HEAD_OF_PAIRS], "it holds no record"),
        (
            "mue2026q1.csv",
            ['"HCPCS/', 'CPT Code",MUE Values', "H2014,1", "H0031,many"],
            "line 4: the MUE value is no number",
        ),
        ("aoc2026q1.txt", ["190785       90791       2013001", "1907"], "line 2: it is no record of this table"),
        (
            "mue2026q1.csv",
            ["HCPCS/CPT Code,Practitioner Services MUE Values", "H2014,many"],
            "line 2: the MUE value is no number",
        ),
        (
            "mue2026q1.csv",
            ["HCPCS/CPT Code,Practitioner Services MUE Values", "H2014,2", "H2014,3"],
            "line 3: the code stands in the table twice",
        ),
        (
            "mue2026q1.csv",
            ["HCPCS/CPT Code,MUE Values,MUE Rationale", "H2014,1,x", 'H0031,1,"Nature', 'H0004,1,"Nature"'],
            "line 3: it is not comma-separated text",
        ),
        (
            "mue2026q1.csv",
            ["HCPCS/CPT Code,MUE Values,MUE Rationale", 'H2014,1,"Nature', 'H0031,1,Nature"', "H0004,1,x"],
            "line 2: a cell of a record holds a line end",
        ),
        (
            "mue2026q1.csv",
            ['HCPCS/CPT Code,MUE Values,"MUE Rationale', "H2014,1,x", 'H0031,1,x"', "H0004,1,x"],
            "line 1: a cell of a record holds a line end",
        ),
        ("aoc2026q1.txt", ["Add-On Code\tPrimary Code", "90785\t90791", "9"], "line 3: it is no record of this table"),
        ("icd10cm_order_2027.txt", [*ORDER[:2], ORDER[3]], "line 3: order number 00004 where 00003 must follow"),
        ("icd10cm_order_2027.txt", ORDER[:2], "line 2: it ends before the chapter of Z codes"),
        ("icd10cm_order_2027.txt", [ORDER[0], ORDER[1][:3]], "line 2: it is no record of an order file"),
        ("cpt2027-01-01.txt", ["90834 text", "half a li"], "line 2: it is no CPT code with its text"),
        ("order.txt", ORDER, "its name does not say from when it counts; give the date with --effective"),
        ("x2026q1.txt", ["Dear customer"], "it is none of the known files"),
        ("x2026q1.txt", ["", ""], "it is empty"),
    ],
)
def test_a_wrong_file_is_refused_whole_with_its_line(
    name: str, lines: list[str], said: str, book: Codebook, tmp_path: Path
) -> None:
    """File, line, what is wrong; and the name of the file is no proof of what it is."""
    with pytest.raises(UnusableTable) as refused:
        official_files.read(write(tmp_path, name, lines), book)
    assert said in str(refused.value)
    assert str(refused.value).startswith(name)


def test_a_truncated_hcpcs_file_is_refused_wherever_it_ends(
    quarterly: list[str], book: Codebook, tmp_path: Path
) -> None:
    """Taking it would end every code that it lacks; a cut within a record names the record's line."""
    for share in (1, 5, 8):
        lines = quarterly[: len(quarterly) * share // 10]
        with pytest.raises(UnusableTable, match=rf"line {len(lines)}: it ends early"):
            official_files.read(write(tmp_path, "HCPC2026_JAN.txt", lines), book)
    with pytest.raises(UnusableTable, match=r"line 7: the record has 100 characters"):
        official_files.read(write(tmp_path, "HCPC2026_JAN.txt", with_line(7, quarterly[6][:100])(quarterly)), book)
    with pytest.raises(UnusableTable, match=r"line 3: the record's kind"):
        official_files.read(write(tmp_path, "HCPC2026_JAN.txt", with_line(3, record("H0001", "5"))(quarterly)), book)


def test_a_zip_may_hold_one_table(quarterly: list[str], book: Codebook, tmp_path: Path) -> None:
    """As CMS ships it, beside a record layout; of two tables nobody can say which."""
    archive = tmp_path / "january-2026.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("HCPC2026_JAN_ANWEB.txt", "\n".join(quarterly))
        packed.writestr("HCPC2026_recordlayout.txt", "layout")
    assert official_files.read(archive, book).effective_from == date(2026, 1, 1)
    with zipfile.ZipFile(archive, "a") as packed:
        packed.writestr("second.txt", "x")
    with pytest.raises(UnusableTable, match="the ZIP holds 2 tables"):
        official_files.read(archive, book)


def test_windows_text_is_read_in_a_zip_as_beside_one(book: Codebook, tmp_path: Path) -> None:
    """A rationale with a Windows dash makes a file neither unknown nor other than it is."""
    text = "\n".join([*HEAD_OF_PAIRS, "H2014\tH2017\t\t20260101\t*\t0\tMisuse \u2013 of it"]).encode("cp1252")
    plain, archive = tmp_path / "ptp2026q1.txt", tmp_path / "ptp2026q1.zip"
    plain.write_bytes(text)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("ptp.txt", text)
    assert official_files.read(archive, book).pairs == official_files.read(plain, book).pairs != ()


@pytest.mark.parametrize("damage", [{43: 0xFF}, {6: 0x01}], ids=["its text", "its flags"])
def test_a_damaged_zip_is_refused(damage: dict[int, int], book: Codebook, tmp_path: Path) -> None:
    """Bytes that do not unpack, or that say they are encrypted."""
    archive = tmp_path / "ptp2026q1.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("ptp2026q1.txt", "x" * 1000)
    content = bytearray(archive.read_bytes())
    directory = content.index(b"PK\1\2")
    for at, byte in damage.items():
        content[at] = byte
        content[directory + 8] |= at == 6  # the directory states the flags again
    archive.write_bytes(content)
    with pytest.raises(UnusableTable, match="cannot be read"):
        official_files.read(archive, book)


def test_what_is_imported_counts_for_the_next_run(
    quarterly: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`codebook import`, then `codebook tables` and the codes command know it; a damaged table is named, not skipped."""
    monkeypatch.setenv("CLAIMWRIGHT_DATA_DIR", str(tmp_path))
    run = CliRunner().invoke
    file = write(tmp_path, "HCPC2026_JAN_ANWEB.txt", quarterly)
    assert "hcpcs-2026-01-01" in run(main, ["codebook", "import", str(file)]).output
    assert "imported: HCPC2026_JAN_ANWEB.txt" in run(main, ["codebook", "tables"]).output
    assert "H2055" in run(main, ["codes", "H2055", "--on", "2026-02-10"]).output
    (kept,) = Settings(data_dir=tmp_path).tables.glob("*.json")
    kept.write_text(kept.read_text()[:-20])
    damaged = run(main, ["codes", "H2014"])
    assert damaged.exit_code == 2
    assert "the imported table is damaged" in damaged.output


def test_a_table_is_kept_as_it_was_read(quarterly: list[str], book: Codebook, tmp_path: Path) -> None:
    """Nothing of it changes on the way to the disk and back."""
    settings = Settings(data_dir=tmp_path)
    read: list[OfficialTable] = [
        official_files.read(write(tmp_path, "HCPC2026_JAN.txt", quarterly), book),
        official_files.read(write(tmp_path, "icd10cm_order_2027.txt", ORDER), book),
    ]
    for table in read:
        tables.keep(settings, table)
    assert tables.imported(settings) == read
