"""Says when a night's rows stopped looking like the calibration rows: a conformal test martingale.

The promise of a conformal threshold holds for rows exchangeable with the calibration rows. Here
that is put to a bet, row after row in order of `_row_id`: somebody who starts with a capital of 1
stakes part of it on the next row's rank among the calibration rows *and all rows before it*. If
the rows are exchangeable, these ranks are independent and uniform, no strategy gains on average,
and the capital ever reaches 1/level with a probability of at most level (Ville's inequality). A
large capital is evidence of so many to one against exchangeability.

The p-values of `scores` would not do: they all refer to the same calibration rows, so they are
neither independent nor, given those rows, uniform, and a bet on them wins for certain in the end.

Three things keep it cheap and to the point:

- Rows above the conformal cut take no part. Anomalies are expected there, and too many of them
  break the promise by themselves (`guarantee.judge_night`); this test watches the other rows.
  Given the cut, calibration rows and new rows below it are as exchangeable as before.
- Rows are compared by where they lie among the calibration scores: between two of them, or equal
  to one. Between the same two the order is drawn by lot, which leaves the ranks independent and
  uniform, since rows of one gap arrive in random order. So a night of any size needs two counts
  for each of a few thousand calibration scores.
- The lot is a hash of `_row_id`: the same night always gives the same verdict.

Reference:
    Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World, sections 2.6, 7.1;
    Vovk, Petej, Nouretdinov, Ahlberg, Carlsson, Gammerman (2021), Retrain or not retrain:
    conformal test martingales for change-point detection (the jumping bettor).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vae_core import conformal_rank

SHARE_LEFT_OUT = 0.05
"""The highest scores, at least; more where alpha is larger."""

MOST_CALIBRATION = 4096  # so that a place is an int16
BLOCK = 128  # so that a count within one is a uint8
SEVERAL = 8 * BLOCK  # so that the counts before each of them stay in the cache
JUMP = 0.01

Piece = tuple[np.ndarray, np.ndarray]

# The capital is split over these bets: stake on a mean-zero function of a p-value in (0, 1), the
# Legendre polynomials that feel a shift (1) and a change of spread (2). Stake 0 bets nothing.
_STAKES = np.array([0.0, 0.5, -0.5, 0.15, -0.15, 0.05, -0.05, 0.5, -0.5, 0.15, -0.15, 0.05, -0.05])
_KINDS = np.array([1] + [1] * 6 + [2] * 6)


@dataclass(frozen=True)
class Drift:
    """What the bet against exchangeability came to.

    Attributes:
        log10_capital: of the largest capital reached; 6 is evidence of a million to one.
        row_id: at which it first reached 1/level; None where it never did.
        rows: that were bet on.
        level: probability of a false alarm, at most.
    """

    log10_capital: float
    row_id: int | None
    rows: int
    level: float


def watch(calibration: np.ndarray, pieces: Iterable[Piece], *, level: float, alpha: float) -> Drift:
    """Bet against the exchangeability of a stream of rows with the calibration rows.

    Args:
        calibration: (n,) calibration scores, n ≥ 1; of more than 4,096 a fixed random part serves.
        pieces: (row ids, scores), (m,) each, in order of row id; how they are cut does not matter.
        level: largest probability of a false alarm over the whole stream, in (0, 1).
        alpha: of the threshold; at least this share of the highest scores is left out.

    Returns:
        The evidence, and the row at which it sufficed.
    """
    bag, cut = _start(calibration, alpha)
    shares = np.full(len(_STAKES), 1.0 / len(_STAKES))
    log_capital, largest, row_id, rows = 0.0, 0.0, None, 0
    for ids, scores in _whole_blocks(pieces, cut):
        gains = _gains(bag.p_values(scores, _lots(ids)))
        for start in range(0, len(ids), BLOCK):
            # within a block 1.5^128 and 0.5^128 are the most and the least
            capitals = np.cumprod(gains[:, start : start + BLOCK], axis=1)
            course = log_capital + np.log(shares @ capitals)
            if row_id is None and course.max() >= -math.log(level):
                row_id = int(ids[start + np.argmax(course >= -math.log(level))])
            largest, log_capital = max(largest, float(course.max())), float(course[-1])
            shares *= capitals[:, -1]
            shares = (1 - JUMP) * shares / shares.sum() + JUMP / len(shares)
        rows += len(ids)
    return Drift(largest / math.log(10), row_id, rows, level)


class _Bag:
    """Counts of all rows so far, by their place among the calibration scores.

    Place 2i + 1 is the i-th distinct calibration score itself, 2i the gap below it.
    """

    def __init__(self, calibration: np.ndarray) -> None:
        self.edges, repeats = np.unique(calibration, return_counts=True)
        self.counts = np.zeros(2 * len(self.edges) + 1, np.int64)
        self.counts[1::2] = repeats

    def p_values(self, scores: np.ndarray, lots: np.ndarray) -> np.ndarray:
        """(m,) each row's share of rows so far, itself included, that score higher.

        Rows in the same place count by lot. Afterwards the rows are in the bag. They are whole
        blocks, or one that is not whole.
        """
        place = np.searchsorted(self.edges, scores) + np.searchsorted(self.edges, scores, "right")
        so_far = self.counts.sum() + 1 + np.arange(len(place))
        above, beside = self._add(place.reshape(-1, min(BLOCK, len(place))))
        return (above + lots * beside) / so_far

    def _add(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Put b blocks of m rows into the bag, by their places (b, m).

        Returns:
            (b · m,) rows so far in higher places, and in the same one, itself included.
        """
        blocks, width = len(place), len(self.counts)
        inside = (np.arange(blocks)[:, None] * width + place).ravel()
        counts = np.bincount(inside, minlength=blocks * width).reshape(blocks, width)
        before = np.empty_like(counts)
        for block, added in enumerate(counts):
            before[block] = self.counts
            self.counts = self.counts + added
        higher = np.cumsum(before[:, ::-1], axis=1)[:, ::-1] - before
        small = place.astype(np.int16)  # as many compared at once as possible
        later, earlier = small[:, :, None], small[:, None, :]
        earlier_in_block = np.tri(place.shape[1], k=-1, dtype=bool)
        higher_now = np.sum((earlier > later) & earlier_in_block, axis=2, dtype=np.uint8)
        equal_now = np.sum((earlier == later) & earlier_in_block, axis=2, dtype=np.uint8)
        above = np.take_along_axis(higher, place, axis=1) + higher_now
        beside = np.take_along_axis(before, place, axis=1) + 1 + equal_now
        return above.ravel(), beside.ravel()


def _start(calibration: np.ndarray, alpha: float) -> tuple[_Bag, float]:
    """The bag of calibration rows below the cut, and the cut."""
    ordered = np.sort(calibration)
    if len(ordered) > MOST_CALIBRATION:
        part = np.random.default_rng(0).choice(len(ordered), MOST_CALIBRATION, replace=False)
        ordered = ordered[np.sort(part)]
    left_out = max(1, conformal_rank(len(ordered), max(alpha, SHARE_LEFT_OUT)))
    cut = float(ordered[len(ordered) - left_out])
    return _Bag(ordered[ordered < cut]), cut


def _whole_blocks(pieces: Iterable[Piece], cut: float) -> Iterator[Piece]:
    """The rows below the cut, several whole blocks at a time, and at last what is left."""
    ids, scores = np.empty(0, np.int64), np.empty(0)
    for more_ids, more_scores in pieces:
        kept = more_scores < cut
        ids = np.concatenate([ids, more_ids[kept]])
        scores = np.concatenate([scores, more_scores[kept]])
        whole = len(ids) - len(ids) % BLOCK
        for start in range(0, whole, SEVERAL):
            several = slice(start, min(start + SEVERAL, whole))
            yield ids[several], scores[several]
        ids, scores = ids[whole:], scores[whole:]
    if len(ids):
        yield ids, scores


def _gains(p: np.ndarray) -> np.ndarray:
    """(bets, m) what a row makes of a capital of 1 staked in each bet."""
    x = 1 - 2 * p
    legendre = np.stack([x, (3 * x * x - 1) / 2])
    return 1.0 + _STAKES[:, None] * legendre[_KINDS - 1]


def _lots(row_ids: np.ndarray) -> np.ndarray:
    """(m,) in [0, 1): a fixed pseudo-random number for each row id.

    Reference: Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators.
    """
    z = row_ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
