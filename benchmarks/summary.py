"""The part of the page that compares methods over data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks import markdown, pictures, statistics
from benchmarks.markdown import listed, signed
from benchmarks.methods import METHODS

NAMES = {"auroc": "AUROC", "average_precision": "average precision"}
LEVEL = 0.05


def comparison(
    done: pd.DataFrame, ours: str, peers: Sequence[str], picture: Path | None = None
) -> list[str]:
    """Tables per set, means and ranks, paired intervals, and where peers win.

    Args:
        done: runs of one protocol.
        ours: the method that the others are compared with.
        peers: all methods that belong there; those without runs are named.
        picture: where to draw the critical-difference picture, in the page's `images` folder.
    """
    kept, left_out = statistics.complete(done, ours)
    if kept.empty:
        return [f"No method has all sets yet: {listed(left_out)} still run.", ""]
    absent = [m for m in peers if m not in set(done.method)]
    methods = [m for m in METHODS if m in set(kept.method)]
    auroc = statistics.per_set(kept, "auroc")[methods]
    precision = statistics.per_set(kept, "average_precision")[methods]
    lines = [f"Seeds {listed(sorted(kept.seed.unique()))}; {len(auroc)} sets.", ""]
    for method in left_out:
        lines += markdown.paragraph(_in_part(done, method, ours))
    if absent:
        lines += markdown.paragraph(f"Without runs: {listed(absent)}.")
    lines += _per_set("AUROC", auroc) + _per_set("AP", precision)
    if ours in methods and len(methods) > 1:
        lines += against_peers(kept, auroc, precision, ours)
        lines += where_peers_win(kept, auroc, ours)
    if picture and len(methods) > 2:
        lines += ranked(auroc, ours, picture)
    return lines


def _per_set(metric: str, table: pd.DataFrame) -> list[str]:
    """A table of one metric: a line a set, then means and mean ranks; the best of a line bold."""
    ranks = statistics.mean_ranks(table)[table.columns]
    rows = [[name, *markdown.best_bold(row)] for name, row in table.iterrows()]
    rows.append([f"**mean {metric}**", *markdown.best_bold(table.mean())])
    rows.append([f"mean rank, {metric}", *(f"{rank:.2f}" for rank in ranks)])
    return markdown.table([f"{metric}: set", *table.columns], rows)


def _in_part(done: pd.DataFrame, method: str, ours: str) -> str:
    """What a method that lacks some runs reaches where it has them, beside ours."""
    seeds = statistics.whole_seeds(done)
    shared = seeds[method] & seeds.get(ours, set())
    if not shared:
        return f"Not all sets are there yet for {method}."
    runs = done[done.seed.isin(shared)].groupby("method")[list(NAMES)].mean()
    theirs, own = (" / ".join(f"{v:.3f}" for v in runs.loc[m]) for m in (method, ours))
    word = "seed" if len(shared) == 1 else "seeds"
    return (
        f"{method} has run with {word} {listed(sorted(shared))} only: AUROC / AP {theirs}, {ours}"
        f" {own} there."
    )


def against_peers(
    kept: pd.DataFrame, auroc: pd.DataFrame, precision: pd.DataFrame, ours: str
) -> list[str]:
    """Paired differences with intervals, and on how many sets which is ahead."""
    rows = []
    for peer in auroc.columns.drop(ours):
        cells = []
        for table in (auroc, precision):
            mean, low, high = statistics.bootstrap(table[ours] - table[peer])
            cells.append(f"{signed(mean)} [{signed(low)}, {signed(high)}]")
        standing = statistics.standings(kept, ours, peer).values()
        ahead, behind = (sum(s * e.lead > 0 for e in standing) for s in (1, -1))
        clear = [sum(s * e.lead > 0 and e.clear for e in standing) for s in (1, -1)]
        rows.append([peer, *cells, f"{ahead} ({clear[0]})", f"{behind} ({clear[1]})"])
    return [
        *markdown.paragraph(
            f"{ours} minus each peer: mean over sets with the 95 % interval of a paired bootstrap",
            f"over sets ({statistics.RESAMPLES:,} resamples); then on how many sets it is ahead or",
            "behind in AUROC, in brackets on how many clearly: by a paired t-test over seeds at",
            "the 5 % level, which calls one in twenty differences clear where there is none.",
        ),
        *markdown.table(["peer", "AUROC", "AP", "sets ahead", "sets behind"], rows),
    ]


def where_peers_win(kept: pd.DataFrame, auroc: pd.DataFrame, ours: str) -> list[str]:
    """Sets on which a peer is clearly ahead, worst first; another setting of ours is no peer."""
    if kept.seed.nunique() < 2:
        return markdown.paragraph("Which leads are clear takes more than one seed.")
    found: dict[str, list[tuple[float, str]]] = {}
    for peer in (m for m in auroc.columns if not m.startswith(ours)):
        for name, (lead, clear) in statistics.standings(kept, ours, peer).items():
            if clear and lead < 0:
                found.setdefault(name, []).append((lead, peer))
    rows = [
        [name, ", ".join(f"{peer} {signed(-lead)}" for lead, peer in sorted(leads))]
        for name, leads in sorted(found.items(), key=lambda item: min(item[1]))
    ]
    free = [name for name in auroc.index if name not in found]
    if not rows:
        return ["No peer is clearly ahead on any set.", ""]
    lines = [
        *markdown.paragraph("Where peers are clearly ahead, and by how much AUROC, largest first:"),
        *markdown.table(["set", "peers ahead"], rows),
    ]
    if free:
        lines += markdown.paragraph(
            f"No peer is clearly ahead on {len(free)} sets: {listed(free)}."
        )
    return lines


def ranked(auroc: pd.DataFrame, ours: str, picture: Path) -> list[str]:
    """The Friedman test and, where it tells methods apart, the critical-difference picture."""
    ranks, p_value = statistics.mean_ranks(auroc), statistics.friedman(auroc)
    if p_value >= LEVEL:
        picture.unlink(missing_ok=True)
        return markdown.paragraph(
            f"Mean ranks of AUROC: the Friedman test gives p = {p_value:.2f} for all methods",
            "ranking alike, so no two of them are told apart.",
        )
    difference = statistics.critical_difference(len(ranks), len(auroc))
    title = f"mean rank of AUROC over {len(auroc)} sets"
    pictures.critical_difference_picture(picture, ranks, difference, ours, title)
    return [
        *markdown.paragraph(
            f"Mean ranks of AUROC: the Friedman test gives p = {p_value:.1e}",
            "for all methods ranking alike; the critical difference of the Nemenyi test is",
            f"{difference:.2f} at the 5 % level.",
        ),
        f"![Mean ranks and critical difference](images/{picture.name})",
        "",
    ]
