"""The opponent of a VAE-GAN: it learns to tell real rows from the model's.

Legend: K members, N rows, W encoded width, F features.

It is needed while training only, is no part of the model, and is not saved with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from .bending import bend
from .columns import Layout
from .gradients import tame
from .likelihoods import Bernoulli, Mixed
from .networks import ENCODERS, BatchedLinear

if TYPE_CHECKING:
    from .models.base import Model, ModelConfig
    from .objectives import Pass

FEATURES = 64
CLIP_NORM = 10.0
# what is usual for discriminators: a momentum of 0.9 lets the two players circle each other
ADAM_BETAS = (0.5, 0.99)


class Discriminator(nn.Module):
    """Rows (K, N, W) to the log-odds (K, N) that they are real, and features (K, N, F).

    A network of the encoder's kind and size, one for each member.
    """

    def __init__(self, layout: Layout, config: ModelConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.numeric = layout.numeric
        self.body = ENCODERS[config.network](layout, config, FEATURES, generator)
        self.head = BatchedLinear(config.members, FEATURES, 1, generator)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        features = silu(self.body(bend(rows, self.numeric)))
        return self.head(features)[..., 0].float(), features.float()


class Adversary:
    """One discriminator per member, its optimizer, and the loss that the model has by it.

    Args:
        layout: of the rows.
        config: of the model.
        seed: of weights and draws.
        device: of the model.

    Reference: Larsen, Sønderby, Larochelle, Winther (2016), Autoencoding beyond pixels using a
        learned similarity metric, algorithm 1; Goodfellow et al. (2014), section 3, for the
        non-saturating loss.
    """

    def __init__(
        self, layout: Layout, config: ModelConfig, seed: int, device: torch.device
    ) -> None:
        made = Discriminator(layout, config, torch.Generator().manual_seed(seed))
        self.discriminator = made.to(device)
        self.parameters = list(made.parameters())
        self.optimizer = torch.optim.Adam(self.parameters, betas=ADAM_BETAS, fused=True)
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self._rows: tuple[Tensor, Tensor, Tensor] | None = None

    def penalty(self, model: Model, passed: Pass, x: Tensor) -> Tensor:
        """What the model minimises beside its bound: (K,), mean over rows.

        −log of the probability that reconstructed and generated rows pass for real, and half the
        squared distance between the features of a row and of its reconstruction.

        Args:
            model: of K members.
            passed: their way through it of rows x.
            x: (K, N, W) as they are, without noise.
        """
        again = self._shown(model.likelihood, passed.parameters[:, :1])
        z = model.prior().sample(x.shape[1], self.generator)
        drawn = self._shown(model.likelihood, model.decode(z).float())
        self._rows = x, again.detach(), drawn.detach()
        # the model's step must not train its opponent
        for p in self.parameters:
            p.requires_grad_(False)
        odds, features = self.discriminator(torch.cat([again, drawn], dim=1))
        with torch.no_grad():
            wanted = self.discriminator(x)[1]
        for p in self.parameters:
            p.requires_grad_(True)
        distance = 0.5 * (wanted - features[:, : x.shape[1]]).square().sum(-1)
        return softplus(-odds).mean(1) + distance.mean(1)

    def learn(self, learning_rate: float) -> None:
        """One step of the discriminators on the rows of the last `penalty`."""
        assert self._rows is not None
        x, again, drawn = self._rows
        odds, _ = self.discriminator(torch.cat([x, again, drawn], dim=1))
        real, fake = odds.split([x.shape[1], odds.shape[1] - x.shape[1]], dim=1)
        losses = softplus(-real).mean(1) + softplus(fake).mean(1)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        tame([p.grad for p in self.parameters if p.grad is not None], CLIP_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()

    def _shown(self, likelihood: Mixed, parameters: Tensor) -> Tensor:
        """Rows (K, N, W) that pass for data, with a gradient.

        Grey pictures are the decoder's means. Anything else is drawn, since the mean of a
        category or of a noisy column looks like no row at all; the gradient is the mean's
        (straight through).
        """
        mean = likelihood.mean(parameters)
        image = likelihood.image
        if image is not None and not isinstance(image.pixels, Bernoulli):
            return mean[:, 0]
        with torch.no_grad():
            drawn = likelihood.sample(parameters, self.generator) - mean
        return _blank(likelihood.layout, (mean + drawn)[:, 0])


def _blank(layout: Layout, rows: Tensor) -> Tensor:
    """Missing cells hold zeros, as in encoded data."""
    if not layout.nullable:
        return rows
    seen = torch.ones_like(rows)
    for i, column in enumerate(layout.nullable):
        mask = layout.mask.start + i
        seen[..., layout.cells(column)] = rows[..., mask : mask + 1]
    return rows * seen
