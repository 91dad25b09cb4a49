"""Gates drawn from the rounds that real ones measured: how often would they name a regression?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import numpy as np

from evidence import pairs
from evidence.shared import ToolError, kept_files, share, share_at_most, table
from segbench.errors import InputError
from segbench.gate import decide
from segbench.measure.settings import GateSettings, parse_thresholds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from segbench.results.outcome import Thresholds
    from segbench.results.records import Case

    Logs = NDArray[np.float64]

# As many as a default gate takes.
ROUNDS = GateSettings().rounds

GATES = 4000

# What is made of rounds of the same code: by which share the head's times are made longer.
MEASURED = "as measured"
SHIFTS = {MEASURED: 0.0, "every case 5% slower": 0.05, "every case 10% slower": 0.1}

QUANTITIES = ("cpu_seconds", "seconds", "peak_mib")


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The rounds of one head that have all its cases.

    Attributes
    ----------
    head : str
        What it has that the base has not.
    logs : dict
        By quantity and case, the logarithm of the ratio in each round, ``(R,)``: of the same rounds
        in all cases.
    rounds : int
        How many.
    left_out : int
        Rounds that lack a case: a gate goes on with those alone that are unclear.
    """

    head: str
    logs: dict[str, dict[Case, Logs]]
    rounds: int
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What the gates drawn for one head said of one case.

    Attributes
    ----------
    head, shift : str
        What the head has, and what was made of it.
    case : Case
        Which.
    said : ndarray of str, shape (G,)
        The verdict on its CPU time in each gate.
    named : ndarray of bool, shape (G,)
        Whether it is a regression, of CPU time, wall time or memory.
    """

    head: str
    shift: str
    case: Case
    said: NDArray[np.str_]
    named: NDArray[np.bool_]


def pools_of(files: Sequence[Sequence[pairs.Round]]) -> list[Pool]:
    """The rounds of some files by head, as ratios.

    Raises
    ------
    ToolError
        If no round of a head has all cases.
    """
    heads = dict.fromkeys(each.head for rounds in files for each in rounds)
    return [_pool(head, files) for head in heads]


def _pool(head: str, files: Sequence[Sequence[pairs.Round]]) -> Pool:
    # A block that is shorter than a step of the clock has no ratio.
    found: dict[tuple[int, int, int], list[pairs.Round]] = {}
    for place, rounds in enumerate(files):
        for each in rounds:
            if each.head == head and all(map(all, each.blocks)):
                found.setdefault((place, each.run, each.round), []).append(each)
    cases = {each.case for own in found.values() for each in own}
    whole = [own for own in found.values() if len(own) == len(cases)]
    if not whole:
        raise ToolError(f"{head}: no round has all of its {len(cases)} cases")
    samples = [
        sample
        for number, own in enumerate(whole, start=1)
        for each in own
        for sample in each.samples(number=number)
    ]
    return Pool(
        head=head,
        logs={name: decide.round_logs(samples, name) for name in QUANTITIES},
        rounds=len(whole),
        left_out=len(found) - len(whole),
    )


def draw(pool: Pool, *, gates: int, rounds: int, threshold: Thresholds, seed: int) -> list[Drawn]:
    """Draw gates, and ask the rule of a gate what they say of each case.

    A gate draws its rounds with replacement, the same ones in all cases. Where both sides are the
    same code they change places at random in each, and gates of a head made slower are drawn, too.
    """
    rng = np.random.default_rng(seed)
    size = gates, rounds
    draws, signs = rng.integers(pool.rounds, size=size), rng.choice([-1, 1], size=size)
    same = pool.head == pairs.SAME
    cases = pool.logs["cpu_seconds"]
    found = []
    for shift in SHIFTS if same else [MEASURED]:
        drawn = {
            name: {
                case: logs[draws] * (signs if same else 1)
                + (0 if name == "peak_mib" else math.log1p(SHIFTS[shift]))
                for case, logs in own.items()
            }
            for name, own in pool.logs.items()
        }
        said = decide.said_of(
            [*drawn["cpu_seconds"].values()],
            thresholds=[threshold.of(case) for case in cases],
            cases=len(cases),
            most=ROUNDS,
        )
        for case, own_said in zip(cases, said, strict=True):
            wall = decide.grown(
                drawn["seconds"][case],
                share=max(decide.WALL, threshold.of(case)),
                cases=len(cases),
            )
            named = (own_said == "regression") | wall
            if case in drawn["peak_mib"]:
                held = drawn["peak_mib"][case]
                named |= decide.grown(held, share=decide.MEMORY, cases=len(cases))
            found.append(Drawn(head=pool.head, shift=shift, case=case, said=own_said, named=named))
    return found


NOTE = """\
A drawn gate takes its rounds, with replacement, from those that have all cases; where nothing differs
the sides change places at random in each. "At most" is the upper 95% bound (Clopper-Pearson,
one-sided) of what is drawn: that there are not more rounds to draw from, it does not count. A
difference that lasts for a whole gate, such as of one environment, changes places, too: real gates
alone show what it does."""


def alarms_table(drawn: Sequence[Drawn], pools: Sequence[Pool]) -> str:
    """One row a head of the same code: the share of gates that name a regression."""
    same = [each for each in drawn if each.head == pairs.SAME and each.shift == MEASURED]
    by_head = {pool.head: pool for pool in pools}

    def alarms(own: list[Drawn]) -> str:
        named = np.any([each.named for each in own], axis=0)
        return share_at_most(int(named.sum()), named.size)

    return table(
        ("The head has",),
        same,
        lambda each: (each.head,),
        {
            "Rounds": lambda own: str(by_head[own[0].head].rounds),
            "Rounds left out": lambda own: str(by_head[own[0].head].left_out),
            "Cases": lambda own: str(len(own)),
            "Gates that fail": alarms,
        },
    )


def named_table(drawn: Sequence[Drawn], *, by_case: bool = False) -> str:
    """One row a head and phase, or a case: the share of its cases that are named, and of others."""

    def said(word: str) -> Callable[[list[Drawn]], str]:
        return lambda own: f"{np.mean([each.said == word for each in own]):.1%}"

    def least(own: list[Drawn]) -> str:
        return f"{min(each.named.mean() for each in own):.1%}"

    def many(own: list[Drawn]) -> str:
        return share(sum(each.named.mean() >= 0.8 for each in own), len(own))

    several = {"In the case of the fewest": least, "Cases named in 80% of gates": many}
    return table(
        ("The head has", "Made of it", "Case" if by_case else "Phase"),
        drawn,
        lambda each: (each.head, each.shift, str(each.case) if by_case else f"`{each.case.phase}`"),
        {
            "Named": lambda own: f"{np.mean([each.named for each in own]):.1%}",
            **({} if by_case else several),
            "Suspected": said("suspected"),
            "Undecided": said("undecided"),
            "Same": said("same"),
        },
    )


def replayed_table(files: Sequence[Sequence[pairs.Round]], *, threshold: Thresholds) -> str:
    """One row a head: what the rule as it is says of the cases of its gates, as they were measured."""
    settings = GateSettings(threshold=threshold)
    gates: dict[tuple[str, int, int], list[pairs.Round]] = {}
    for place, rounds in enumerate(files):
        for each in rounds:
            gates.setdefault((each.head, place, each.run), []).append(each)
    found = []
    for (head, *_), own in gates.items():
        samples = [sample for each in own for sample in each.samples(number=each.round)]
        cases = [*dict.fromkeys(each.case for each in own)]
        said = [one.verdict for one in decide.decide(cases, samples, settings=settings)]
        found.append((head, said))

    def count(word: str) -> Callable[[list[tuple[str, list[str]]]], str]:
        return lambda own: str(sum(said.count(word) for _, said in own))

    def undecided(own: list[tuple[str, list[str]]]) -> str:
        words = [word for _, said in own for word in said]
        return share(words.count("undecided"), len(words))

    return table(
        ("The head has",),
        found,
        lambda each: (each[0],),
        {
            "Gates": lambda own: str(len(own)),
            "Gates that fail": lambda own: str(sum("regression" in said for _, said in own)),
            "Cases": lambda own: str(sum(len(said) for _, said in own)),
            **{
                word.capitalize(): count(word)
                for word in ("regression", "suspected", "undecided", "improvement", "same")
            },
            "Left undecided": undecided,
        },
    )


def drawn_tables(
    files: Sequence[Sequence[pairs.Round]],
    *,
    gates: int,
    rounds: int,
    threshold: Thresholds,
    seed: int,
) -> list[str]:
    """All that there is to show, with the note that belongs to it; as they were, then drawn."""
    pools = pools_of(files)
    found = [
        each
        for pool in pools
        for each in draw(pool, gates=gates, rounds=rounds, threshold=threshold, seed=seed)
    ]
    return [
        replayed_table(files, threshold=threshold),
        alarms_table(found, pools),
        named_table(found),
        NOTE,
        named_table(found, by_case=True),
    ]


@click.command()
@kept_files
@click.option("--gates", default=GATES, show_default=True, type=click.IntRange(1))
@click.option(
    "--rounds",
    default=ROUNDS,
    show_default=True,
    type=click.IntRange(5),
    help="That each gate takes of a case that stays unclear.",
)
@click.option("--threshold", default=str(GateSettings().threshold), show_default=True)
@click.option("--seed", default=0, show_default=True)
def drawn(*, kept: tuple[Path, ...], gates: int, rounds: int, threshold: str, seed: int) -> None:
    """Draw gates from kept rounds (FILE.pairs.jsonl.gz, or the gate.jsonl of a calibration)."""
    try:
        texts = drawn_tables(
            [pairs.read(path) for path in kept],
            gates=gates,
            rounds=rounds,
            threshold=parse_thresholds(threshold),
            seed=seed,
        )
    except (ToolError, InputError) as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n\n".join(texts))
