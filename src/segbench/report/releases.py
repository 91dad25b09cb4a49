"""ASV's results with several releases of the libraries, each varied while the others are the newest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import NullLocator
from packaging.version import InvalidVersion, Version

from segbench.measure.settings import PHASES
from segbench.report.cells import (
    NOTHING,
    Cell,
    Table,
    collected,
    finding_cell,
    format_factor,
    format_interval,
    images,
    row,
)
from segbench.report.drawing import Chapter, Drawing, finish, label, new_figure
from segbench.report.summary import grouped
from segbench.stats import of_rounds, ratio_of_ratios

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from segbench.report.cells import Row
    from segbench.report.styles import Styles
    from segbench.results.sources import Source
    from segbench.stats import Ratio

# A smaller change between two releases is not named.
CHANGE = 0.10

# Of fewer cases that can't have changed the noise of the machine is not known.
LEAST_CONTROLS = 5

# So many changes are named in sentences, the largest first; all are in the table.
NAMED = 12

# Of the figure: how far it goes from 1 at the least, and the ratios that are labelled.
LEAST_REACH = 1.3
TICKS = (0.1, 0.2, 0.5, 0.8, 1.0, 1.25, 2.0, 5.0, 10.0)

BACK = ("One release back", "Two back", "Three back", "Four back", "Five back")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A case with another release of one library, beside the newest of all.

    Attributes
    ----------
    library, version : str
    phase, backend : str
    n_images : int
    ratio : Ratio
        Of the time with this release to that with the newest.
    used : bool
        Whether the backend uses the library: if it does not, the difference is the machine's.
    """

    library: str
    version: str
    phase: str
    n_images: int
    backend: str
    ratio: Ratio
    used: bool

    @property
    def size(self) -> float:
        """The logarithm of the ratio, without its sign."""
        return abs(math.log(self.ratio.estimate))


def newest_and_releases(
    sources: Sequence[Source],
) -> tuple[Source, dict[tuple[str, str], Source]] | None:
    """The environment with the newest of everything, and by library and version those beside it.

    Of ASV's results on one machine, of one commit; each of the latter differs from the newest in
    one library alone, so that the oldest of everything is none. None without any.
    """
    asv = [one for one in sources if one.kind == "asv"]
    same = [one for one in asv if _rest(one) == _rest(asv[0])]
    try:
        by_source = [{name: Version(text) for name, text in _pins(one).items()} for one in same]
    except InvalidVersion:
        return None
    if not (by_source and all(one.keys() == by_source[0].keys() for one in by_source)):
        return None
    highest = {name: max(one[name] for one in by_source) for name in by_source[0]}
    if highest not in by_source:
        return None
    newest = same[by_source.index(highest)]
    releases = {}
    for source, versions in zip(same, by_source, strict=True):
        apart = [name for name, version in versions.items() if version != highest[name]]
        if len(apart) == 1:
            releases[apart[0], _pins(source)[apart[0]]] = source
    return (newest, releases) if releases else None


def _rest(source: Source) -> object:
    return source.machine, source.versions.get("commit"), source.versions.get("python")


def _pins(source: Source) -> dict[str, str]:
    return {
        name: str(version)
        for name, version in source.versions.items()
        if name not in ("commit", "python")
    }


def chapter(sources: Sequence[Source], style: Styles) -> Chapter | None:
    """What each release changes, phase by phase, in a figure, a table and sentences.

    The samples of two environments were taken by other processes at another time, and what that
    alone makes is seen where nothing else can have changed: in the backends that don't use the library.
    """
    found = newest_and_releases(sources)
    if not found:
        return None
    newest, releases = found
    findings = list(_findings(newest, releases))
    shown = [one for one in findings if one.used]
    if not shown:
        return None
    noise = noise_of(findings)
    named = sorted(
        (one for one in shown if is_change(one, noise)), key=lambda one: one.size, reverse=True
    )
    return Chapter(
        title="Releases of the libraries",
        prefix="releases-",
        sentences=tuple(_sentences(named, noise, newest, style)),
        tables=(_table(shown, noise, newest),),
        drawings=(_figure(shown, noise, newest, style),),
    )


def _findings(newest: Source, releases: Mapping[tuple[str, str], Source]) -> Iterator[Finding]:
    """Every case that was timed in both, a library's together, its newest release first."""
    base = _levels(newest)
    order = sorted(releases, key=lambda key: Version(key[1]), reverse=True)
    for library, version in sorted(order, key=lambda key: list(newest.versions).index(key[0])):
        for case, level in _levels(releases[library, version]).items():
            if case in base:
                phase, n_images, backend = case
                yield Finding(
                    library=library,
                    version=version,
                    phase=phase,
                    n_images=n_images,
                    backend=backend,
                    ratio=ratio_of_ratios(level, base[case]),
                    used=library in newest.backends[backend].libraries,
                )


def _levels(source: Source) -> dict[tuple[str, int, str], Ratio]:
    """The time of each case as a ratio to one second; its error is that of the samples."""
    found = {}
    for case, samples in grouped(source).items():
        if case[0] in PHASES and (samples["status"] == "ok").all():
            found[case] = of_rounds(np.log(samples["seconds"].to_numpy()))
    return found


def noise_of(findings: Iterable[Finding]) -> dict[str, float]:
    """By phase the largest logarithm of a ratio that no release can have made, where enough are known."""
    controls = collected((one.phase, one.size) for one in findings if not one.used)
    return {phase: max(own) for phase, own in controls.items() if len(own) >= LEAST_CONTROLS}


def is_change(one: Finding, noise: Mapping[str, float]) -> bool:
    """Whether a release made a case another: by more than `CHANGE` and than the noise of its phase.

    Where there are samples, their interval is not to hold 1 either.
    """
    beyond = one.size > max(math.log1p(CHANGE), noise.get(one.phase, math.inf))
    return beyond and not one.ratio.low <= 1 <= one.ratio.high


def _sentences(
    named: Sequence[Finding], noise: Mapping[str, float], newest: Source, style: Styles
) -> Iterator[str]:
    for one in named[:NAMED]:
        ratio = one.ratio
        reach = f" ({format_interval(ratio.low, ratio.high, ' to ')})" if ratio.known else ""
        words = style[one.backend].name if one.backend in style else one.backend
        yield (
            f"{one.phase} of {images(one.n_images)} with {words} takes "
            f"{format_factor(ratio.estimate)}{reach} times as long with {one.library} {one.version} as with "
            f"{newest.versions[one.library]}."
        )
    if len(named) > NAMED:
        yield f"{len(named) - NAMED} smaller changes are marked in the table."
    if not named and noise:
        yield f"No release changed anything by more than {CHANGE:.0%} and than the machine's noise."
    if noise:
        told = (f"{phase} {math.expm1(log):.0%}" for phase, log in noise.items())
        yield (
            "Backends that don't use a library differed all the same between its releases, by up to: "
            f"{', '.join(told)}. What differs by no more is not named."
        )
    if missing := [phase for phase in PHASES if phase not in noise]:
        yield (
            f"The machine's noise is not known for {', '.join(missing)}: too few backends were timed that "
            "don't use the library that varies. Nothing is named there."
        )


def _table(shown: Sequence[Finding], noise: Mapping[str, float], newest: Source) -> Table:
    releases = collected((one.library, one.version) for one in shown)
    most = min(len(BACK), max(len({*versions}) for versions in releases.values()))
    return Table(
        name="releases",
        title="Time relative to the newest releases",
        columns=("Library", "Phase", "Backend", "Images", *BACK[:most]),
        rows=tuple(_rows(shown, noise, newest, columns=most)),
        note="Above 1: slower with the older release; all other libraries are the newest. In brackets 95% "
        "intervals from the samples (Welch), where they were kept (asv run --record-samples): they know nothing "
        "of what changes from one environment to the next on the same machine. Slower and faster are "
        f"said of changes of more than {CHANGE:.0%} that are larger than any of a backend that does not use "
        "the library.",
        layout="dense",
    )


def _rows(
    shown: Sequence[Finding], noise: Mapping[str, float], newest: Source, *, columns: int
) -> Iterator[Row]:
    for library, own in collected((one.library, one) for one in shown).items():
        versions = list(dict.fromkeys(one.version for one in own))[:columns]
        cases = collected(((one.phase, one.backend, one.n_images), one) for one in own)
        for phase, backend, n_images in sorted(cases, key=lambda case: [*PHASES].index(case[0])):
            there = {one.version: one for one in cases[phase, backend, n_images]}
            cells = [_cell(there.get(version), noise, version) for version in versions]
            cells += [NOTHING] * (columns - len(cells))
            size = Cell(str(n_images), n_images)
            yield row(f"{library} {newest.versions[library]}", phase, backend, size, *cells)


def _cell(one: Finding | None, noise: Mapping[str, float], version: str) -> Cell:
    if one is None:
        return NOTHING
    changed = "slower" if one.ratio.estimate > 1 else "faster"
    cell = finding_cell(one.ratio, changed if is_change(one, noise) else "")
    return Cell(cell.text, cell.value, cell.verdict, note=version)


def _figure(
    shown: Sequence[Finding], noise: Mapping[str, float], newest: Source, style: Styles
) -> Drawing:
    """A column a library and a row a phase, at the largest number of images."""
    size = max(one.n_images for one in shown)
    own = [one for one in shown if one.n_images == size]
    phases = [phase for phase in PHASES if any(one.phase == phase for one in own)]
    libraries = list(dict.fromkeys(one.library for one in own))
    backends = [name for name in style if any(one.backend == name for one in own)]
    titles = [f"{phase}, {library}" for phase in phases for library in libraries]
    figure, panels = new_figure(*titles, height=1.9 * len(phases) + 1, columns=len(libraries))
    for backend in backends:
        panels[0].plot([], [], label=label(style[backend].name), **style[backend].drawn)
    for number, axes in enumerate(panels):
        phase, library = phases[number // len(libraries)], libraries[number % len(libraries)]
        versions = list(dict.fromkeys(one.version for one in own if one.library == library))[::-1]
        places = {version: place for place, version in enumerate(versions)}
        axes.set_yscale("log")
        band = math.exp(max(math.log1p(CHANGE), noise.get(phase, 0.0)))
        axes.axhspan(1 / band, band, color="#e6e6e6", linewidth=0)
        for backend in backends:
            there = [one for one in own if (one.phase, one.library) == (phase, library)]
            points = {places[one.version]: one for one in there if one.backend == backend}
            if points:
                x = [*sorted(points), len(versions)]
                y = [points[place].ratio.estimate for place in x[:-1]]
                axes.plot(x, [*y, 1.0], **style[backend].drawn)
        names = [*versions, str(newest.versions[library])]
        axes.set_xticks(range(len(names)), labels=map(label, names), rotation=45, ha="right")
        axes.tick_params(labelsize=7.5)
        axes.set_title(axes.get_title(loc="left"), loc="left", fontsize=9, y=1.01)
    for axes in panels[:: len(libraries)]:
        reach = max(LEAST_REACH, *(bound for end in axes.get_ylim() for bound in (end, 1 / end)))
        axes.set_ylim(1 / reach, reach)
        axes.yaxis.set_minor_locator(NullLocator())
        ticks = [tick for tick in TICKS if 1 / reach <= tick <= reach]
        axes.set_yticks(ticks, labels=[f"{tick:g}×" for tick in ticks])
    changed = [one for one in own if is_change(one, noise)]
    words = (
        f"{one.phase} with {style[one.backend].name} {format_factor(one.ratio.estimate)}× with "
        f"{one.library} {one.version}"
        for one in changed
    )
    return Drawing(
        picture=finish(figure, columns=1, left=0.65, below=0.75),
        name="releases",
        title=f"Time of {images(size)} relative to the newest releases",
        alt=f"Time of {images(size)} with older releases relative to the newest of all libraries: "
        f"{'; '.join(words) or 'no change is larger than the noise'}.",
        caption="Each column varies one library, its newest release on the right, where the ratio is 1. "
        "Backends that don't use it are left out. Within the gray band nothing is named: it holds "
        f"{CHANGE:.0%}, and what differed where no release can have made a difference.",
        table="releases",
    )
