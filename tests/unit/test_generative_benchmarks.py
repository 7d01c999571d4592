"""The generative benchmarks: their small logic, and that floors are judged by what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import (
    bits,
    collapse,
    generation,
    lecture,
    likelihood,
    page,
    picture_anomalies,
    runs,
    sprites,
)
from benchmarks.markdown import Floor
from benchmarks.picture_rows import encoded, layout_of, pictures_of, pixels


def write(folder: Path, file: str, lines: list[dict[str, object]]) -> None:
    pd.DataFrame(lines).to_csv(folder / file, index=False)


def verdicts(floors: list[Floor]) -> list[str]:
    return [floor.verdict for floor in floors]


MISSED, HOLDS, MET = "**floor missed**", "floor holds", "goal met"


def test_pictures_come_back_from_rows() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 8, 12, 3)).astype(np.uint8)
    layout = layout_of(pictures)
    rows = encoded(layout, pixels(pictures))
    assert rows.shape == (5, layout.width)
    back = pictures_of(rows[:, layout.picture].numpy(), layout)
    np.testing.assert_allclose(back, pictures, atol=1e-3)


@pytest.mark.parametrize(
    ("vae", "flow", "conditional", "expected"),
    [
        (86.0, 83.0, 84.0, [MET, MET, MET]),
        (88.0, 86.5, 92.0, [HOLDS, HOLDS, HOLDS]),
        (90.0, 89.0, 99.0, [MISSED, MISSED, MISSED]),
    ],
)
def test_likelihood_floors(
    tmp_path: Path, vae: float, flow: float, conditional: float, expected: list[str]
) -> None:
    # a longer run of another model is no peer at equal time; a shorter one of the VAE is forgotten
    found = {("VAE", 8): vae, ("VAE", 1): 99.0, ("flow prior", 8): flow, ("VampPrior", 9): 1.0}
    found[("conditional VAE", 8)] = conditional
    lines = [
        {"model": model, "minutes": minutes, "seed": 0, "nll_1000": nll, "error_1000": 0.7}
        | {"nll_all": np.nan, "error_all": np.nan, "epochs": 5, "seconds": 60 * minutes}
        for (model, minutes), nll in found.items()
    ]
    write(tmp_path, likelihood.FILE, lines)
    section = likelihood.section(tmp_path, tmp_path)
    # what has not run yet has reached nothing
    assert verdicts(section.floors) == [*expected[:2], MISSED, expected[2]]
    assert f"| VAE | {vae:.2f} ± 0.70 | – | 5 | 8 |" in section.lines
    assert "Trained for other times, in minutes: VampPrior 9." in section.lines


def test_generation_floors(tmp_path: Path) -> None:
    def save(task: str, measured: list[dict[str, object]]) -> None:
        lines = [one for line in measured for one in generation.figures(line)]
        runs.append(tmp_path / generation.FILE, [{"task": task, "seed": 0, **o} for o in lines])

    distances = {generation.REAL: 1.0, generation.NORMAL: 10.0, generation.MIXTURE: 8.0}
    save("samples", [{"what": n, "frechet": d, "kernel": 0.1} for n, d in distances.items()])
    (floor,) = generation.section(tmp_path, tmp_path).floors
    assert (floor.measured, floor.verdict) == (f"0.80 ({generation.MIXTURE})", HOLDS)
    # figures of their own in one file: a share of the samples, PSNR and SSIM of reconstructions
    shares = {generation.REAL: 0.99, "conditional samples": 0.94}
    save("conditional", [{"what": what, "right": right} for what, right in shares.items()])
    for name, ssim in (("MNIST", 0.7), ("CIFAR-10", 0.9)):
        both = {"VAE": (20.0, ssim), "PCA": (19.0, 0.8)}
        measured = [{"what": what, "psnr": p, "ssim": s} for what, (p, s) in both.items()]
        save(f"reconstructions, {name}", measured)
    save("samples, flow", [{"what": generation.FLOW, "frechet": 6.0, "kernel": 0.1}])
    floors = generation.section(tmp_path, tmp_path).floors
    # SSIM of MNIST is worse: both figures must be better
    assert verdicts(floors) == [MET, MISSED, MISSED, MET]
    assert floors[0].measured == f"0.60 ({generation.FLOW})"


def test_bits_are_always_reported(tmp_path: Path) -> None:
    line = {"model": "VAE", "minutes": 3, "seed": 0, "bits": 4.2, "error": 0.01, "steps": 9}
    write(tmp_path, bits.FILE, [line | {"epochs": 1, "seconds": 180, "parameters": 10**6}])
    assert verdicts(bits.section(tmp_path, tmp_path).floors) == [HOLDS]


@pytest.mark.parametrize(("mig", "verdict"), [(0.14, MISSED), (0.16, HOLDS), (0.2, MET)])
def test_the_best_beta_vae_is_held_against_the_vae(
    tmp_path: Path, mig: float, verdict: str
) -> None:
    figures = {"VAE": (0.1, 25.0), sprites.BETA_VAES[0]: (mig, 22.0), "autoencoder": (0.9, 30.0)}
    lines = [
        {"method": name, "seed": 0, "mig": value, "sap": 0.1, "dci_disentanglement": 0.1}
        | {"psnr": psnr, "ssim": 0.9}
        for name, (value, psnr) in figures.items()
    ]
    write(tmp_path, sprites.FILE, lines)
    (floor,) = sprites.section(tmp_path, tmp_path).floors
    assert floor.verdict == verdict
    assert "−3.0 dB" in floor.measured


def test_a_latent_is_named_by_the_factor_it_tells_most_of() -> None:
    factors = sprites.sprites(2000, seed=3).factors
    noise = np.random.default_rng(0).normal(size=2000)
    for i, name in enumerate(sprites.FACTORS):
        assert sprites.told_by(factors[:, i] + 0.05 * noise, factors) == name


def test_one_seed_that_passes_collapsed_breaks_the_floor(tmp_path: Path) -> None:
    lines = [
        {"way": way, "seed": seed, "active_units": 1.0, "kl": 0.1, "mutual_information": 0.1}
        | {"elbo": -1.0, "squared_error": 0.1, "gate_passed": way not in collapse.PROVOKED}
        for way in collapse.WAYS
        for seed in (0, 1)
    ]
    write(tmp_path, collapse.FILE, lines)
    assert verdicts(collapse.section(tmp_path, tmp_path).floors) == [MET, MET]
    lines[[line["way"] for line in lines].index(collapse.PROVOKED[0])]["gate_passed"] = True
    write(tmp_path, collapse.FILE, lines)
    assert verdicts(collapse.section(tmp_path, tmp_path).floors) == [MISSED, MET]


@pytest.mark.slow
def test_a_collapse_is_provoked_refused_and_cured() -> None:
    """By the product's own training and gate, in few steps."""
    collapsed, cured = (
        collapse.measure(collapse.WAYS[way], 0, steps=200)
        for way in (collapse.PROVOKED[0], collapse.CURED[0])
    )
    assert not collapsed["gate_passed"] and collapsed["active_units"] == 0
    assert cured["gate_passed"] and cured["kl"] > collapsed["kl"] + 0.5


@pytest.mark.parametrize("how", picture_anomalies.CORRUPTIONS)
def test_corruptions_change_every_picture_and_leave_the_source(how: str) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (6, 28, 28)).astype(np.uint8)
    before = pictures.copy()
    corrupted = picture_anomalies.CORRUPTIONS[how](pictures, rng)
    np.testing.assert_array_equal(pictures, before)
    assert (corrupted.shape, corrupted.dtype) == (pictures.shape, pictures.dtype)
    assert (corrupted != pictures).any((1, 2)).all()


def test_the_page_names_the_command_of_each_picture(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "mnist_generation.png").write_bytes(b"")
    page.write(tmp_path)
    text = (tmp_path / "generative.md").read_text(encoding="utf-8")
    assert "`python -m benchmarks.lecture mnist_generation`" in text
    assert "No runs yet: `python -m benchmarks.likelihood`," in text
    assert "cifar10_generation" in lecture.PICTURES and "cifar10_generation" not in text
