"""PyOD's default network, written out, and the arithmetic that it costs. Torch only.

Legend: N rows, D columns; layers D-128-64-32-2-32-64-128-D.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

HIDDEN = (128, 64, 32)
LATENT = 2


class Plain(nn.Module):
    """The VAE that PyOD 3.6 builds: ReLU, dropout where PyOD has it, mean and log-variance.

    Args:
        columns: D.
        dropout: PyOD's is 0.2; 0 leaves it out.
    """

    def __init__(self, columns: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = _layers([columns, *HIDDEN], dropout)
        self.mu, self.logvar = nn.Linear(HIDDEN[-1], LATENT), nn.Linear(HIDDEN[-1], LATENT)
        self.decoder = nn.Sequential(
            *_layers([LATENT, *reversed(HIDDEN)], dropout), nn.Linear(HIDDEN[0], columns)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.encoder(x)
        mu, logvar = self.mu(hidden), self.logvar(hidden).clamp(-30.0, 20.0)
        z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
        return self.decoder(z), mu, logvar


def _layers(widths: list[int], dropout: float) -> nn.Sequential:
    parts: list[nn.Module] = []
    for a, b in pairwise(widths):
        parts += [nn.Linear(a, b), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*parts)


def loss(x: Tensor, reconstructed: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Mean squared error and KL, whose weight PyOD's default capacity of 0 makes 0."""
    kl = (-0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)).mean().clamp(0.0, 0.0)
    return nn.functional.mse_loss(reconstructed, x) + kl


def products(columns: int, latent_outputs: int = 2 * LATENT) -> tuple[list, list]:
    """(inputs, outputs) of each matrix product of the encoder, and of the decoder."""
    encoder = [*pairwise([columns, *HIDDEN, latent_outputs])]
    decoder = [*pairwise([LATENT, *reversed(HIDDEN), columns])]
    return encoder, decoder


def flops(columns: int, decodings: int = 1) -> int:
    """Multiplications and additions of a row's way there and back, `decodings` times back."""
    encoder, decoder = products(columns)
    there, back = (2 * sum(a * b for a, b in part) for part in (encoder, decoder))
    return there + decodings * back


class PyodDataset(torch.utils.data.Dataset):
    """Rows one by one, standardised when asked for, as PyOD's is."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows.cpu().numpy()
        self.mean, self.std = self.rows.mean(0), self.rows.std(0)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        row = (self.rows[index, :] - self.mean) / (self.std + 1e-8)
        return torch.as_tensor(row, dtype=torch.float32)


def pyod_batches(dataset: PyodDataset, batch: int, *, shuffle: bool) -> Iterator[Tensor]:
    """Batches as PyOD's loader gives them."""
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=batch, shuffle=shuffle, drop_last=shuffle
    )
    return iter(loader)
