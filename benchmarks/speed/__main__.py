"""Speed beside what a user would take instead and beside the machine's own limit.

    python -m benchmarks.speed                  # everything that this machine can run
    python -m benchmarks.speed core --quick     # one part, small
    python -m benchmarks.speed page             # the page alone, from what was measured

Part `core` needs torch, numpy and safetensors only: it runs on a bare machine with a card. Results
go to benchmarks/results/speed.json, one entry a part, the page to docs/performance.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.speed import clock
from benchmarks.speed.size import FULL, QUICK
from vae_core.device import choose_device

RESULTS = Path(__file__).parents[1] / "results"
DOCS = Path(__file__).parents[2] / "docs"
FILE = "speed.json"
# module with `run(size, device)` by the name of the part
PARTS = {
    "core": "benchmarks.speed.core",
    "scaling": "benchmarks.speed.scaling",
    "peers": "benchmarks.speed.peers",
    "install": "benchmarks.speed.install",
    "cold": "benchmarks.speed.cold",
    "night": "benchmarks.speed.night",
    "large": "benchmarks.speed.large",
    "auroc": "benchmarks.speed.auroc",
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}, page")
    parser.add_argument("--quick", action="store_true", help="small, to see that it runs")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON file")
    args = parser.parse_args(arguments)
    unknown = set(args.parts) - {*PARTS, "page"}
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; known: {', '.join(PARTS)}, page")
    for part in args.parts or PARTS:
        if part != "page":
            measure(part, args)
    write_page(args.results)


def measure(part: str, args: argparse.Namespace) -> None:
    """Run one part and keep what it gave beside what other parts gave."""
    device = choose_device(args.device).type
    machine = clock.machine(device)
    started = time.perf_counter()
    found = importlib.import_module(PARTS[part]).run(QUICK if args.quick else FULL, device)
    seconds = time.perf_counter() - started
    entry = {"machine": machine, "quick": args.quick, "seconds": round(seconds, 1), **found}
    name = part if device == "cpu" else f"{part} {device}"
    keep(args.results / FILE, name, entry)
    print(f"{name}: {seconds:.0f} s", flush=True)


def keep(file: Path, name: str, entry: dict[str, Any]) -> None:
    results = read(file)
    results[name] = entry
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_rounded(results), indent=1, sort_keys=True)
    file.write_text(text + "\n", encoding="utf-8")


def read(file: Path) -> dict[str, Any]:
    """What was measured by part; empty where nothing was."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return found


def write_page(results: Path) -> None:
    """The page anew; a bare machine leaves it to one that has pandas."""
    try:
        from benchmarks.speed import page
    except ModuleNotFoundError as missing:
        print(f"no page: {missing.name} is not installed; {results / FILE} holds the numbers")
        return
    here = results.resolve() == RESULTS.resolve()
    page.write(read(results / FILE), (DOCS if here else results) / "performance.md")


def _rounded(value: Any) -> Any:
    """Numbers to four figures: the noise is in the second or third."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
