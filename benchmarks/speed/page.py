"""docs/performance.md, from what was measured: tables, floors, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.markdown import Floor
from benchmarks.speed import notes

MIB, GIB = 1 << 20, 1 << 30
LISTED = 12  # of the distributions, the largest
METHODS = ("VAEDetector", "PyOD_VAE")  # ours, and the one it is held against
Results = Mapping[str, Any]


def write(results: Results, file: Path) -> None:
    """The page; parts that were not measured are left out."""
    floors = [floor for judge in JUDGES for floor in judge(results)]
    lines = [
        "# Performance",
        "",
        *markdown.paragraph(
            "Made by `python -m benchmarks.speed`, from `benchmarks/results/speed.json`. Ratios",
            "are of medians of repetitions in turns, in one process, so that a busy moment meets",
            "both sides; noise is half the range of the middle half of the repetitions. Limits are",
            "the matrix products alone, for the passes that are made, in as many threads, on 512",
            "rows at a time that never leave the cache.",
        ),
        *_machines(results),
        *_floors(floors),
        *(line for name, part in TABLES.items() if name in results for line in part(results[name])),
        *notes.LINES,
    ]
    file.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _machines(results: Results) -> list[str]:
    rows = []
    for name, part in results.items():
        m = part["machine"]
        where = m.get("card") or f"{m['processor']}, {m['cores']} cores"
        size = "quick" if part["quick"] else "full"
        load, when = f"{m['load_average']}", m["when"]
        rows.append([name, where, m["torch"], load, size, f"{part['seconds']:,.0f} s", when])
    header = ["part", "machine", "torch", "load before", "size", "took", "when"]
    return markdown.table(header, rows)


def _floors(floors: list[Floor]) -> list[str]:
    rows = [[f.what, f.floor, f.goal, f.measured, f.verdict] for f in floors]
    head = ["what", "floor", "goal", "measured", "verdict"]
    return ["## Floors and goals", "", *markdown.table(head, rows)] if rows else []


def _rates(paces: Mapping[str, Any], reference: str | None = None) -> list[list[str]]:
    rows = []
    for name, pace in paces.items():
        rate = pace["rows_per_second"]
        ratio = f"{rate / paces[reference]['rows_per_second']:.2f}" if reference else ""
        cores = f"{pace['cpu_per_wall']:.1f}"
        rows.append([name, f"{rate:,.0f}", ratio, markdown.percent(pace["noise"]), cores])
    return rows


def _paces(title: str, paces: Mapping[str, Any], reference: str) -> list[str]:
    header = ["", "rows/s", f"÷ {reference}", "noise", "cores busy"]
    return [f"### {title}", "", *markdown.table(header, _rates(paces, reference))]


def _core(part: Results) -> list[str]:
    lines = [f"## The core, {part['rows']:,} × {part['columns']} float32, PyOD's layers", ""]
    for batch, paces in sorted(part["training"].items(), key=lambda pair: int(pair[0])):
        lines += _paces(f"Training, batch {batch}", paces, "bare loop")
    lines += _paces("Scoring", part["scoring"], "limit fp32")
    lines += _paces("Training 8 members against 1, batch 128", part["ensemble"], "1")
    if "pieces" in part:
        rows = [[name, f"{microseconds:,.0f}"] for name, microseconds in part["pieces"].items()]
        lines += ["### Scoring a chunk of 512 rows on one thread, piece by piece", ""]
        lines += markdown.table(["piece", "µs, best of many"], rows)
    return lines


def _peers(part: Results) -> list[str]:
    return [
        f"## Peers, {part['rows']:,} × {part['columns']} float32",
        "",
        *_paces("Training", part["training"], "PyOD VAE, 32"),
        *_paces("Scoring", part["scoring"], "PyOD VAE"),
        *_paces("Training on 28 × 28 pictures, batch 64", part["pictures"], "pythae"),
    ]


def _scaling(part: Results) -> list[str]:
    lines = ["## Growth", ""]
    for name, found in part.items():
        if isinstance(found, dict) and "exponent" in found:
            paces = {int(size): pace["rows_per_second"] for size, pace in found["paces"].items()}
            rows = [[f"{size:,}", f"{paces[size]:,.0f}"] for size in sorted(paces)]
            lines += [f"### {name.capitalize()}: exponent {found['exponent']:.2f}", ""]
            lines += markdown.table([name.split()[-1], "rows/s"], rows)
    return lines


def _install(part: Results) -> list[str]:
    largest = sorted(part["bytes"].items(), key=lambda pair: -pair[1])
    total, rest = sum(part["bytes"].values()), sum(taken for _, taken in largest[LISTED:])
    rows = [[name, f"{taken / MIB:,.0f}"] for name, taken in largest[:LISTED]]
    rows += [[f"{len(largest) - LISTED} more", f"{rest / MIB:,.0f}"]]
    rows += [["**all that an installation brings**", f"**{total / MIB:,.0f}**"]]
    imports = [[f"`{name}`", f"{seconds:.2f}"] for name, seconds in part["imports"].items()]
    return [
        "## Installation and imports",
        "",
        *markdown.table(["distribution", "MiB"], rows),
        *markdown.table(["statement", "seconds"], imports),
    ]


def _cold(part: Results) -> list[str]:
    rows = [[phase, f"{seconds:.2f}"] for phase, seconds in part["phases"].items()]
    rows += [["`vae-anomaly score`, median", f"{part['command_seconds']:.2f}"]]
    rows += [["bare imports of torch, MLflow, pandas, median", f"{part['bare_seconds']:.2f}"]]
    title = f"## Cold start, {part['rows']:,} rows"
    return [title, "", *markdown.table(["phase", "seconds"], rows)]


def _night(part: Results) -> list[str]:
    lines = []
    for kind, found in part["kinds"].items():
        title = f"## A night end to end, {part['columns']} columns, one member, score `{kind}`"
        lines += [title, "", *_nights(found["nights"])]
        lines += markdown.paragraph(
            f"A night of 1,000 rows takes {found['start_seconds']:.1f} s without imports and",
            "loading the model. Time grows with the rows to the power of",
            f"{found['exponent']:.2f} beyond this start, {found['exponent_with_start']:.2f} with",
            "it. Nights of up to 3,000,000 rows: medians of several.",
        )
    return lines


def _large(part: Results) -> list[str]:
    return ["## The largest night, score `either`", "", *_nights([part["night"]])]


def _nights(nights: list[Results]) -> list[str]:
    rows = [["rows/s", *(f"{n['rows'] / n['night_seconds']:,.0f}" for n in nights)]]
    rows += [["peak memory, GiB", *(f"{n['peak_bytes'] / GIB:.2f}" for n in nights)]]
    phases = list(nights[-1]["seconds"])
    rows += [[p, *(f"{n['seconds'].get(p, 0.0):.2f} s" for n in nights)] for p in phases]
    return markdown.table(["", *(f"{n['rows']:,} rows" for n in nights)], rows)


def _auroc(part: Results) -> list[str]:
    rows = [
        [
            name,
            *(f"{found[m]['fit_seconds']:.1f}" for m in METHODS),
            *(f"{found[m]['auroc']:.3f}" for m in METHODS),
            f"{found[METHODS[0]]['steps']:,}",
        ]
        for name, found in part["sets"].items()
    ]
    header = ["set", *(f"{m}, s" for m in METHODS), *(f"{m}, AUROC" for m in METHODS), "our steps"]
    return [
        "## Time to PyOD's AUROC",
        "",
        *markdown.paragraph(
            "PyOD's VAE at its defaults, and the detector with an eighth of its default number of",
            "steps, a quarter, a half or all of them: the first that finds as much.",
        ),
        *markdown.table(header, rows),
    ]


TABLES = {
    "core": _core,
    "core cuda": _core,
    "peers": _peers,
    "scaling": _scaling,
    "install": _install,
    "cold": _cold,
    "night": _night,
    "large": _large,
    "auroc": _auroc,
}


def _ratio(
    what: str, a: float, b: float, floor: float, goal: float, *, most: bool = False
) -> Floor:
    """a / b held against a floor and a goal; with `most`, it must not be larger."""
    ratio = a / b
    holds, met = (ratio <= floor, ratio <= goal) if most else (ratio >= floor, ratio >= goal)
    sign = "≤" if most else "≥"
    return Floor(what, f"{sign} {floor:g}", f"{sign} {goal:g}", f"{ratio:.2f}", holds, met)


def _rate(paces: Mapping[str, Any], name: str) -> float:
    rate: float = paces[name]["rows_per_second"]
    return rate


def _judge_peers(results: Results) -> list[Floor]:
    if "peers" not in results:
        return []
    training, scoring, pictures = (results["peers"][k] for k in ("training", "scoring", "pictures"))
    pyod = _rate(training, "PyOD VAE, 32")
    best = max(_rate(training, name) for name in training if name.startswith("ours"))
    limit = _rate(scoring, "limit fp32")
    floors = [
        _ratio("training at PyOD's batch of 32, × PyOD", _rate(training, "ours, 32"), pyod, 1.6, 3),
        _ratio("training at a batch of our choice, × PyOD", best, pyod, 6, 8),
        _ratio("pictures, × pythae", _rate(pictures, "ours"), _rate(pictures, "pythae"), 1.2, 2),
    ]
    error = _rate(scoring, "ours, error")
    floors += [
        _ratio("scoring the error, × PyOD's default", error, _rate(scoring, "PyOD VAE"), 15, 25),
        _ratio("scoring the error, share of the limit", error, limit, 0.5, 0.7),
    ]
    for name, passes in (("at the mean", 2), ("of 2 draws", 3)):
        rate = _rate(scoring, f"ours, ELBO {name} and error")
        what = f"scoring ELBO {name} and error, share of the limit for {passes} decodings"
        limit = _rate(scoring, f"limit fp32, {passes} decodings")
        floors.append(_ratio(what, rate, limit, 0.5, 0.7))
    return floors


def _judge_core(results: Results) -> list[Floor]:
    floors = []
    if "core" in results:
        paces = results["core"]["ensemble"]
        what = "training 8 members, × the time of 1, batch 128"
        floors.append(_ratio(what, _rate(paces, "1"), _rate(paces, "8"), 4, 3, most=True))
    if "core cuda" in results:
        part = results["core cuda"]
        for batch, paces in sorted(part["training"].items(), key=lambda pair: int(pair[0])):
            what = f"training on a card, batch {batch}, × PyOD's loop"
            floors.append(_ratio(what, _rate(paces, "ours"), _rate(paces, "PyOD's loop"), 1, 50))
        on_card = part["card"]["rows_per_second_on_card"]
        floors.append(_ratio("scored on the card, 10⁹ rows/s", on_card, 1e9, 0, 1))
    return floors


def _judge_night(results: Results) -> list[Floor]:
    if "night" not in results:
        return []
    found = results["night"]["kinds"]["either"]
    last, exponent = found["nights"][-1], found["exponent"]
    rate = last["rows"] / last["night_seconds"]
    return [
        _ratio(f"end to end, {last['rows']:,} rows, 1,000 rows/s", rate, 1000, 150, 400),
        Floor(
            "growth of a night's time with its rows, beyond its start",
            "1.00 ± 0.05",
            "1.00 ± 0.05",
            f"{exponent:.2f}",
            abs(exponent - 1) <= 0.05,
            abs(exponent - 1) <= 0.05,
        ),
    ]


def _judge_large(results: Results) -> list[Floor]:
    if "large" not in results:
        return []
    night = results["large"]["night"]
    what = f"peak memory, {night['rows']:,} rows, GiB"
    return [_ratio(what, night["peak_bytes"], GIB, 2, 2, most=True)]


def _judge_auroc(results: Results) -> list[Floor]:
    """The worst of the sets; one on which ours finds less counts as never."""
    if "auroc" not in results:
        return []
    (ours, peer), sets = METHODS, results["auroc"]["sets"]
    shares = [
        found[ours]["fit_seconds"] / found[peer]["fit_seconds"]
        if found[ours]["auroc"] >= found[peer]["auroc"]
        else float("inf")
        for found in sets.values()
    ]
    what = f"time to {peer}'s final AUROC on {len(sets)} labelled sets, the worst share"
    return [_ratio(what, max(shares), 1, 0.2, 0.1, most=True)]


def _judge_cold(results: Results) -> list[Floor]:
    if "cold" not in results:
        return []
    part = results["cold"]
    whole, bare = part["command_seconds"], part["bare_seconds"]
    ours = whole - bare
    measured = f"{whole:.1f} s; {ours:+.1f} s"
    what = f"cold start on {part['rows']:,} rows; ours above bare imports"
    return [Floor(what, "≤ 7 s", "≤ 0.7 s above", measured, whole <= 7, ours <= 0.7)]


JUDGES = (_judge_peers, _judge_core, _judge_night, _judge_large, _judge_auroc, _judge_cold)
