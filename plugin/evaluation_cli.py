"""`claimwright eval`: a proposer on the benchmark, before and after the rules."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

import prompts
from guardrails.codebook import Codebook
from plugin import settings as settings_module
from plugin import tables
from plugin.answering import answering
from plugin.evaluation import benchmark, exchange, scores, shown
from plugin.evaluation.benchmark import Fixture, UnusableBenchmark
from plugin.evaluation.scores import Scoreboard
from plugin.proposers.protocol import Proposer
from plugin.settings import Settings, SettingsError
from plugin.site import proposer_of
from prompts import ReplySize

Choice = tuple[Callable[[Fixture], Proposer | None], str, str | None]


@click.command("eval")
@click.option(
    "--fixtures",
    "root",
    type=click.Path(path_type=Path),
    default=Path("fixtures"),
    show_default=True,
    help="The benchmark.",
)
@click.option("--half", type=click.Choice(benchmark.HALVES), multiple=True, help="Which half; both unless named.")
@click.option("--only", type=click.IntRange(1), help="Run at most about so many visits of a half, evenly spread.")
@click.option("--json", "as_json", is_flag=True, help="Print the scoreboards as JSON and nothing else.")
@click.option("--html", type=click.Path(path_type=Path), help="Also write a page with plots.")
@click.option(
    "--requests",
    "requests_file",
    type=click.Path(path_type=Path),
    help="Write every request for a model (Batch format); ask nobody.",
)
@click.option("--replay", type=click.Path(path_type=Path), help="Score the answers that came back for --requests.")
@answering
def evaluate(
    root: Path,
    half: tuple[str, ...],
    only: int | None,
    as_json: bool,
    html: Path | None,
    requests_file: Path | None,
    replay: Path | None,
) -> None:
    """Score a proposer on visits whose right lines are known, before and after the rules.

    With OPENAI_BASE_URL or OPENAI_API_KEY set, that model proposes; otherwise the offline baseline does. What was not run says so.
    """
    settings = settings_module.load()
    book = tables.book_of(settings)
    halves = half or benchmark.HALVES
    if requests_file is not None:
        written = _write_requests(root, halves, settings, book, requests_file)
        click.echo(f"{written} requests for {settings.model.name} written to {requests_file}")
        return
    if html is not None:
        _try_page(html)
    choose, name, prompt = _replaying(replay, root, settings, book) if replay else _asking(settings, book)
    boards = [
        board.as_json() for board in _run(root, halves, choose, name, prompt, book, only, settings, quiet=as_json)
    ]
    if as_json:
        click.echo(json.dumps(boards, indent=2))
    else:
        console = Console() if sys.stdout.isatty() else Console(width=230)
        console.print(shown.table(boards))
        for board in boards:
            console.print(shown.codes(board))
            for sentence in shown.sentences(board):
                console.print(sentence, markup=False)
    if html is not None:
        html.write_text(shown.page(boards), encoding="utf-8")


def _try_page(path: Path) -> None:
    """Say before the run what would end it after all was asked."""
    try:
        shown.page([])
        path.open("a").close()
    except ImportError:
        raise SettingsError("--html: install claimwright[web]") from None
    except OSError as problem:
        raise UnusableBenchmark(f"{path.name}: cannot be written ({problem.strerror})") from None


def _run(
    root: Path,
    halves: tuple[str, ...],
    choose: Callable[[Fixture], Proposer | None],
    name: str,
    prompt: str | None,
    book: Codebook,
    only: int | None,
    settings: Settings,
    *,
    quiet: bool,
) -> list[Scoreboard]:
    boards = []
    with Progress(disable=quiet or not sys.stderr.isatty(), console=Console(stderr=True)) as progress:
        for each in halves:
            task = progress.add_task(each, total=sum(1 for _ in benchmark.load(root, each)))
            boards.append(
                scores.run(
                    root,
                    each,
                    choose,
                    name=name,
                    prompt=prompt,
                    book=book,
                    only=only,
                    prices=settings.model,
                    watch=lambda _, t=task: progress.advance(t),  # type: ignore[misc]
                )
            )
    return boards


def _asking(settings: Settings, book: Codebook) -> Choice:
    proposer = proposer_of(settings, book)
    return (lambda _: proposer), proposer.name, prompts.version() if proposer.host else None


def _replaying(path: Path, root: Path, settings: Settings, book: Codebook) -> Choice:
    found = exchange.answers(path)
    name = exchange.model_of(found)
    size = ReplySize(settings.limits.reply_quotes, settings.limits.reply_quote_characters)

    def choose(fixture: Fixture) -> Proposer | None:
        record = found.get(fixture.name)
        if record is not None:
            return exchange.Replayed(name, record, size)
        return scores.Nobody() if exchange.request_of(root, fixture, book) is None else None  # nothing was to be asked

    return choose, name, prompts.version()


def _write_requests(root: Path, halves: tuple[str, ...], settings: Settings, book: Codebook, path: Path) -> int:
    written = 0
    try:
        with path.open("w", encoding="utf-8") as file:
            for half in halves:
                for request in exchange.requests(root, half, settings.model.name, book, settings.limits):
                    file.write(json.dumps(request, ensure_ascii=False) + "\n")
                    written += 1
    except OSError as problem:
        raise UnusableBenchmark(f"{path.name}: cannot be written ({problem.strerror})") from None
    return written
