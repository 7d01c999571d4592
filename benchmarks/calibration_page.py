"""docs/calibration.md: rates that were promised, and rates that came."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks import markdown
from benchmarks.markdown import Floor, Section

EVERY_FLOOR = ("Student-t, 3", "Student-t, 5", "lognormal")
NIGHTS_OF_THE_FLOOR = 0.01


def page(laws: pd.DataFrame, detector: pd.DataFrame) -> str:
    """The page as Markdown.

    Args:
        laws: lines (law, case, figure, value).
        detector: lines per data set, split and alpha.
    """
    tables = {} if laws.empty else {law: _wide(part) for law, part in laws.groupby("law")}
    sections = [make(tables[law]) for law, make in SECTIONS.items() if law in tables]
    if not detector.empty:
        sections.append(_detector(detector))
    floors = [
        [f.what, f.floor, f.goal, f.measured, f.verdict] for part in sections for f in part.floors
    ]
    lines = [
        "# False-alarm rates",
        "",
        *markdown.paragraph(
            "Written by `python -m benchmarks.calibration`. Simulations draw scores of a known law",
            "with fixed seeds and run the product's own thresholds on them; the last part fits the",
            "default `VAEDetector` to real data. What each threshold promises is told in the",
            "[user guide](user-guide.md#which-threshold).",
        ),
        *markdown.table(["what", "floor", "goal", "measured", "so"], floors),
    ]
    for part in sections:
        lines += part.lines
    return "\n".join(lines).rstrip() + "\n"


def _wide(part: pd.DataFrame) -> pd.DataFrame:
    """One row per case in the order they were run, one column per figure."""
    return part.pivot(index="case", columns="figure", values="value").loc[part.case.unique()]


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f} %"


def _marginal(found: pd.DataFrame) -> Section:
    z = (found.measured - found.expected) / found.error
    rows = [
        [*case.split("; "), _percent(r.measured), _percent(r.expected), markdown.signed(z[case], 1),
         _percent(r.inside)]
        for case, r in found.iterrows()
    ]  # fmt: skip
    least_inside = found.inside.min()
    lines = [
        "## Conformal thresholds, scores without ties",
        "",
        *markdown.paragraph(
            "2,000 repetitions of 999 calibration and 1,000 further scores. Expected is",
            "⌊alpha (n + 1)⌋ / (n + 1); the distance is in standard errors of the beta-binomial",
            "law; in the last column the share of nights within its central 90 % interval (a",
            "little more, since counts are whole numbers).",
        ),
        *markdown.table(
            ["scores", "alpha", "flagged", "expected", "distance", "nights inside 90 %"], rows
        ),
    ]
    holds = bool((z.abs() <= 3).all()) and least_inside >= 0.9 - 3 * math.sqrt(0.09 / 2000)
    worst = f"at most {z.abs().max():.1f} standard errors; at least {_percent(least_inside)} inside"
    floor = Floor(
        "the conformal law, 2,000 repetitions", "within 3 standard errors; 90 % of nights inside",
        "", worst, holds, False,
    )  # fmt: skip
    return Section(lines, [floor])


def _ties(found: pd.DataFrame) -> Section:
    z = (found.measured - found.expected) / found.error
    rows = [
        [*case.split("; "), _percent(r.measured), _percent(r.expected)]
        for case, r in found.iterrows()
    ]
    lines = [
        "## Conformal thresholds, scores with ties",
        "",
        *markdown.paragraph("Tied scores only lower the rate: the promise is a bound from above."),
        *markdown.table(["scores", "alpha", "flagged", "at most"], rows),
    ]
    floor = Floor(
        "the same with ties", "bounded from above", "",
        f"at least {-z.max():.1f} standard errors below", bool(z.max() <= 3), False,
    )  # fmt: skip
    return Section(lines, [floor])


def _conditional(found: pd.DataFrame) -> Section:
    rows = [
        [alpha, f"{int(n):,}", _percent(r.measured), _percent(r.inside)]
        for (alpha, n), (_, r) in zip(
            (case.split("; ") for case in found.index), found.iterrows(), strict=True
        )
    ]
    lines = [
        "## The calibration-conditional bound",
        "",
        *markdown.paragraph(
            "Share of 2,000 calibration draws whose true rate lies above alpha, with",
            "`conditional_delta: 0.1` and with the marginal threshold, which is right on average",
            "only.",
        ),
        *markdown.table(["alpha", "calibration rows", "bound violated", "marginal above"], rows),
    ]
    limit = found.expected + 3 * found.error
    floor = Floor(
        "calibration-conditional bound, delta 0.1", f"violated in at most {_percent(limit.min())}",
        "", f"at most {_percent(found.measured.max())}", bool((found.measured <= limit).all()),
        False,
    )  # fmt: skip
    return Section(lines, [floor])


def _fdr(found: pd.DataFrame) -> Section:
    cases = [[float(v) for v in case.split("; ")] for case in found.index]
    ratio = found.power / found.oracle
    rows = [
        [f"{100 * share:g} %", f"{distance:g} sd", f"{int(n):,}", _percent(r.rate),
         _percent(r.power), _percent(r.oracle), f"{r.power / r.oracle:.3f}"]
        for (share, distance, n), (_, r) in zip(cases, found.iterrows(), strict=True)
    ]  # fmt: skip
    lines = [
        "## FDR control over a night",
        "",
        *markdown.paragraph(
            "`alerts: {fdr: true}` at q = 0.1: nights of 10,000 rows, 200 repetitions. The oracle",
            "is the cut-off of somebody who knows both laws. A p-value cannot fall below",
            "1 / (n + 1), so that a handful of anomalies among many rows is only found with many",
            "calibration rows: about (rows of the night) / (q · anomalies to be found) of them.",
        ),
        *markdown.table(
            ["anomalies", "distance", "calibration rows", "FDR", "power", "oracle's", "ratio"],
            rows,
        ),
    ]
    judged = np.array([share >= NIGHTS_OF_THE_FLOOR for share, _, _ in cases])
    holds_rate = bool((found.rate <= 0.1 + 2 * found.error).all())
    floors = [
        Floor("FDR at q = 0.1, all nights", "≤ 10 % + 2 standard errors", "",
              f"at most {_percent(found.rate.max())}", holds_rate, False),
        Floor("power, nights with 1 % of anomalies or more", "≥ 0.8 of the oracle's", "≥ 0.95",
              f"{ratio[judged].min():.3f} to {ratio[judged].max():.3f}",
              bool(ratio[judged].min() >= 0.8), bool(ratio[judged].min() >= 0.95)),
    ]  # fmt: skip
    return Section(lines, floors)


def _pot(found: pd.DataFrame) -> Section:
    rows = [
        [case, f"{r['median']:.2f}", f"{r.settled:.2f}", f"{r.low:.2f} to {r.high:.1f}",
         f"{r.largest:.1f}", _percent(r.covered)]
        for case, r in found.iterrows()
    ]  # fmt: skip
    lines = [
        "## Peaks over threshold",
        "",
        *markdown.paragraph(
            "`pot` at alpha = 10⁻⁴ from 2,000 calibration rows, where no row can count that rate:",
            "realised over asked rate, from the survival function, 100 repetitions. Beside it the",
            "ratio of the largest calibration score, and how often the 90 % interval of the",
            "cut-off holds the true one. One fit may be far off; over many the middle is right.",
            "The median of 100 ratios itself varies by some 17 %: that of 1,000 stands beside it.",
        ),
        *markdown.table(
            ["scores", "median ratio", "of 1,000", "80 % of fits", "largest score", "covered"], rows
        ),
    ]
    judged = found.loc[[name for name in EVERY_FLOOR if name in found.index], "median"]
    floor = Floor(
        "`pot`, Student-t and lognormal, median ratio", "0.5 to 2", "0.8 to 1.25",
        ", ".join(f"{value:.2f}" for value in judged)
        + f" (of 1,000: {', '.join(f'{v:.2f}' for v in found.settled[judged.index])})",
        bool(judged.between(0.5, 2).all()), bool(judged.between(0.8, 1.25).all()),
    )  # fmt: skip
    return Section(lines, [floor])


def _no_change(found: pd.DataFrame) -> Section:
    rows = [[case, _percent(r.measured)] for case, r in found.iterrows()]
    lines = [
        "## The drift test, nothing changes",
        "",
        *markdown.paragraph(
            "Share of 2,000 exchangeable nights (200 calibration rows, 500 rows) on which the",
            "promise is suspended, at level 5 %. Ville's inequality bounds it, and is not tight.",
        ),
        *markdown.table(["scores", "false alarms"], rows),
    ]
    limit = found.expected + 3 * found.error
    floor = Floor(
        "false alarms of the drift test, level 5 %", f"≤ {_percent(limit.min())}", "",
        f"at most {_percent(found.measured.max())}", bool((found.measured <= limit).all()), False,
    )  # fmt: skip
    return Section(lines, [floor])


def _delay(found: pd.DataFrame) -> Section:
    rows = [
        [case, _percent(r.found), "–" if math.isnan(r.rows) else f"{r.rows:,.0f}"]
        for case, r in found.iterrows()
    ]
    lines = [
        "## The drift test, scores change",
        "",
        *markdown.paragraph(
            "Nights of 15,000 normal scores whose law changes after row 5,000, 4,000 calibration",
            "rows, the default level of 0.001, 40 repetitions: how often it is found, and how many",
            "rows later in the median.",
        ),
        *markdown.table(["change", "found", "rows later"], rows),
    ]
    return Section(lines, [])


def _shift(found: pd.DataFrame) -> Section:
    rows = [
        [case, _percent(r.plain), _percent(r.weighted), f"{r.effective:,.0f}"]
        for case, r in found.iterrows()
    ]
    lines = [
        "## Covariate shift",
        "",
        *markdown.paragraph(
            "A night with another mix of rows: one of eight latents lies higher, and scores spread",
            "with it. False-positive rate at alpha = 5 % of the plain threshold and of",
            "`alerts: {covariate_shift: true}`; 5,000 calibration rows, 20 repetitions. Weights",
            "are clipped, so a strong shift is corrected in part; the effective rows tell.",
        ),
        *markdown.table(["shift", "plain", "weighted", "effective rows"], rows),
    ]
    return Section(lines, [])


def _detector(done: pd.DataFrame) -> Section:
    """The mean rate per set against its law."""
    lines, floors = ["## VAEDetector on real data", ""], []
    lines += markdown.paragraph(
        "ADBench's one-class splits, default settings, normal test rows flagged at several alphas",
        "by the p-values of one fit; sets where `guarantee_` is true. The distance is between the",
        "mean over splits and ⌊alpha (n + 1)⌋ / (n + 1), in beta-binomial standard errors of that",
        "mean. Where scores repeat (duplicate rows), the rate is only bounded from above.",
    )
    for alpha, part in done[done.guarantee].groupby("alpha", sort=False):
        table = pd.DataFrame({name: _of_set(rows) for name, rows in part.groupby("dataset")}).T
        table = table.loc[sorted(table.index, key=lambda s: int(s.split("_")[0]))]
        untied = table.tied < 0.001
        off = np.where(untied, table.z.abs(), table.z) > 3
        rows = [
            [str(name), f"{r.splits:.0f}", f"{r.calibration_rows:,.0f}", _percent(r.rate),
             _percent(r.expected), markdown.signed(r.z, 1),
             _percent(r.tied) if r.tied >= 0.001 else ""]
            for name, r in table.iterrows()
        ]  # fmt: skip
        lines += [f"**alpha = {alpha:g}**", ""]
        lines += markdown.table(
            ["set", "splits", "calibration rows", "flagged", "expected", "distance", "repeated"],
            rows,
        )
        pooled = float(table.z[untied].sum() / math.sqrt(max(1, untied.sum())))
        measured = (
            f"{int((~off).sum())} of {len(table)} sets within; "
            f"{int(untied.sum())} without ties together {markdown.signed(pooled, 1)}"
        )
        # of many sets a few lie beyond three standard errors by chance
        allowed = int(stats.binom.ppf(0.99, len(table), 2 * stats.norm.sf(3)))
        floors.append(
            Floor(f"false-positive rate of `VAEDetector`, alpha = {alpha:g}",
                  "mean within 3 standard errors; with ties above only", "", measured,
                  bool(off.sum() <= allowed and abs(pooled) <= 3), False)
        )  # fmt: skip
    left_out = sorted(set(done.dataset) - set(done[done.guarantee].dataset))
    if left_out:
        lines += markdown.paragraph(
            "Too small for a guarantee at any of these alphas:", markdown.listed(left_out) + "."
        )
    return Section(lines, floors)


def _of_set(rows: pd.DataFrame) -> dict[str, float]:
    errors = stats.betabinom.var(
        rows.normal_rows, rows["rank"], rows.calibration_rows + 1 - rows["rank"]
    )
    rates = rows.flagged / rows.normal_rows
    expected = (rows["rank"] / (rows.calibration_rows + 1)).mean()
    error = math.sqrt(np.sum(errors / np.square(rows.normal_rows))) / len(rows)
    return {
        "splits": len(rows),
        "calibration_rows": rows.calibration_rows.mean(),
        "rate": rates.mean(),
        "expected": expected,
        "z": (rates.mean() - expected) / error,
        "tied": 1 - rows.distinct.mean(),
    }


SECTIONS: dict[str, Callable[[pd.DataFrame], Section]] = {
    "marginal": _marginal,
    "marginal, ties": _ties,
    "conditional": _conditional,
    "fdr": _fdr,
    "pot": _pot,
    "drift, no change": _no_change,
    "drift": _delay,
    "covariate shift": _shift,
}
