"""Makes `data/digits` from the handwritten digits that scikit-learn ships.

    python data/make_digits.py

Grey values 0 to 16 become 0 to 255. The order is scikit-learn's; the first 1,300 pictures are the
history, the rest two nights, in each of which 12 seeded pictures are damaged: 4 with a patch of
white, 4 with noise, 4 turned upside down; and 6 are given the name of another digit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

HISTORY, NIGHTS = 1300, ((1300, 1550), (1550, 1797))
EACH = 4
MISNAMED = 6
FINE = "fine"


def main(target: Path) -> None:
    values, names = load_digits(return_X_y=True)
    pictures = np.rint(values * 255 / 16).astype(np.uint8).reshape(-1, 8, 8)
    digits = names.astype(np.uint8)
    target.mkdir(parents=True, exist_ok=True)
    fine = np.full(HISTORY, FINE)
    np.savez_compressed(
        target / "history.npz", picture=pictures[:HISTORY], digit=digits[:HISTORY], state=fine
    )
    for number, (first, end) in enumerate(NIGHTS, start=1):
        night = damaged(pictures[first:end], digits[first:end], np.random.default_rng(number))
        np.savez_compressed(target / f"night-{number}.npz", **night)
        print(f"night-{number}: {end - first} pictures, {(night['state'] != FINE).sum()} not fine")


def damaged(
    pictures: np.ndarray, digits: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The pictures, their digits, and what was done to each."""
    pictures, digits = pictures.copy(), digits.copy()
    state = np.full(len(pictures), FINE, dtype="U12")
    # these look the same upside down
    turnable = np.flatnonzero(~np.isin(digits, (0, 8)))
    turned = rng.choice(turnable, EACH, replace=False)
    rest = rng.permutation(np.setdiff1d(np.arange(len(pictures)), turned))
    patched, noisy, misnamed = np.split(rest[: 2 * EACH + MISNAMED], (EACH, 2 * EACH))
    pictures[turned] = pictures[turned, ::-1]
    for i in patched:
        line, column = rng.integers(0, 6, 2)
        pictures[i, line : line + 3, column : column + 3] = 255
    noise = rng.normal(0, 80, (EACH, 8, 8))
    pictures[noisy] = np.clip(pictures[noisy] + noise, 0, 255).astype(np.uint8)
    digits[misnamed] = (digits[misnamed] + rng.integers(1, 10, MISNAMED)) % 10
    named = {"turned": turned, "patched": patched, "noisy": noisy, "misnamed": misnamed}
    for name, rows in named.items():
        state[rows] = name
    return {"picture": pictures, "digit": digits, "state": state}


if __name__ == "__main__":
    main(Path(__file__).parent / "digits")
