"""What a model is: encoder → latent → decoder → likelihood.

Legend: K members, S draws, N rows, W encoded width, L latents, P decoder outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ..bending import bend
from ..columns import Layout
from ..latents import Posterior, quasi_normal_draws
from ..likelihoods import Mixed
from ..networks import DECODERS, ENCODERS, check_network, chunks
from ..priors import LatentPrior, Prior, build_prior

if TYPE_CHECKING:
    from ..adversary import Adversary


class Roles(NamedTuple):
    """Which members answer for what.

    Attributes:
        generative: trained for the ELBO; theirs are `elbo`, the latent and generated rows.
        denoising: trained to undo noise, with a light KL; theirs is the reconstruction.
    """

    generative: slice
    denoising: slice


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a model.

    Attributes:
        variant: key of `MODELS`.
        members: K networks trained side by side; scores are means over them.
        denoisers: how many of them, the last ones, learn to denoise; None: half of them, 0: every
            member plays both roles.
        latent_dim: L; None: as many as encoded columns, within 2 … 24.
        hidden: widths of the hidden layers (multiples of 8), encoder order.
        activation: between them, of mlp: silu, or relu, which is faster.
        draws: S points for E_q in scores; 1 or even.
        weighted_draws: S of the score `importance_weighted`; even.
        learned_variance: learn each numeric column's variance, or that of all pixels; False
            fixes it at 1 (MSE).
        network: mlp, or conv for pictures.
        channels: widths of the conv network, each halving the picture; multiples of 8.
        blocks: residual blocks at each of them.
        pixels: likelihood of a picture's pixels, key of `likelihoods.PIXELS`.
        numeric: likelihood of numeric columns, key of `likelihoods.NUMERIC`.
        prior: p(z), key of `PRIORS` that the variant takes; normal is uniform in a discrete
            model.
        components: of the prior: pseudo-rows of vamp, Gaussians of mixture at most.
        couplings: layers of a flow, prior or posterior.
        categories: C of each latent of a discrete model, whose `latent_dim` counts latents.
        straight_through: its training codes are hard, as in scores; else relaxed.
        temperature: of its relaxed codes, at the start and the end of training.
        ladder: widths of a hierarchical model's layers, the decoder's first; empty: `latent_dim`
            and half of it.
    """

    variant: str = "vae"
    members: int = 2
    denoisers: int | None = None
    latent_dim: int | None = None
    hidden: tuple[int, ...] = (128, 128)
    activation: str = "silu"
    draws: int = 4
    weighted_draws: int = 64
    learned_variance: bool = True
    network: str = "mlp"
    channels: tuple[int, ...] = (32, 64)
    blocks: int = 1
    pixels: str = "gaussian"
    numeric: str = "gaussian"
    prior: str = "normal"
    components: int = 64
    couplings: int = 4
    categories: int = 10
    straight_through: bool = True
    temperature: tuple[float, float] = (1.0, 0.3)
    ladder: tuple[int, ...] = ()

    def latent_dim_for(self, layout: Layout) -> int:
        """L: as given, else the columns' encoded width within 2 … 24."""
        if self.latent_dim is not None:
            return self.latent_dim
        return max(2, min(24, layout.mask.stop))

    @property
    def roles(self) -> Roles:
        """Who of the K members does what.

        Raises:
            ValueError: no member would be left for the ELBO.
        """
        denoisers = self.members // 2 if self.denoisers is None else self.denoisers
        if not 0 <= denoisers < self.members:
            raise ValueError(
                f"denoisers must be at least 0 and fewer than the {self.members} members, "
                f"got {denoisers}"
            )
        everyone = slice(0, self.members)
        if denoisers == 0:
            return Roles(everyone, everyone)
        first = self.members - denoisers
        return Roles(slice(0, first), slice(first, self.members))


class Model(nn.Module, ABC):
    """One variant of the family.

    Attributes:
        has_elbo: whether the model defines a bound on log p(x).
        conditional: whether it reads conditions.
        priors: keys of `PRIORS` that its latent can take.
        gaussian: whether q(z|x) is a Gaussian of independent latents, of which alone the total
            correlation can be told.
        members: K.
        roles: who of them does what.
        likelihood: p(x|z) of a row.
        latent_prior: the parameters of p(z).
        code_width: L, numbers in a code z.
        categories: numbers of a code that make one latent: 1, or the one-hot vector of a
            categorical one.
        decoded_width: numbers of a code that the decoder reads, the first ones; all of them but in
            a ladder, whose upper layers only say what to expect of the first.
        draws: (S, E) the fixed standard normal points that every score uses; E of them make a z.
        chunks: rows scored at a time, by type of device.
    """

    has_elbo: bool = True
    conditional: bool = False
    priors: tuple[str, ...] = ("normal", "vamp", "mixture", "flow")
    gaussian: bool = True
    members: int
    roles: Roles
    likelihood: Mixed
    latent_prior: LatentPrior
    code_width: int
    categories: int = 1
    decoded_width: int
    draws: Tensor
    chunks: dict[str, int]

    def __init__(self, layout: Layout, config: ModelConfig, seed: int) -> None:
        super().__init__()
        if config.prior not in self.priors:
            raise ValueError(
                f"model {config.variant!r} takes no prior {config.prior!r}; known: "
                f"{', '.join(self.priors)}"
            )

    def build(
        self,
        layout: Layout,
        config: ModelConfig,
        generator: torch.Generator,
        *,
        posterior: int,
        code: int | None = None,
        reads: int | None = None,
        prior: LatentPrior | None = None,
    ) -> None:
        """Likelihood, networks and prior.

        Args:
            layout: of the encoded rows.
            config: shape.
            generator: source of the weights.
            posterior: numbers that the encoder gives per row.
            code: width of a code; None: `latent_dim`.
            reads: numbers that the decoder reads; None: a code.
            prior: p(z) where the variant has one of its own; None: the configured one.

        Raises:
            ValueError: an unknown network, likelihood or prior, or one that does not fit the rows.
        """
        check_conditions(layout, config.variant, self.conditional)
        check_network(config.network)
        self.members, self.roles = config.members, config.roles
        self.chunks = chunks(config, layout.width)
        self.code_width = config.latent_dim_for(layout) if code is None else code
        self.decoded_width = self.code_width
        self.likelihood = Mixed(
            layout,
            config.members,
            learned_variance=config.learned_variance,
            pixels=config.pixels,
            numeric=config.numeric,
        )
        outputs = self.likelihood.parameter_width
        self.encoder = ENCODERS[config.network](layout, config, posterior, generator)
        inputs = self.code_width if reads is None else reads
        self.decoder = DECODERS[config.network](layout, config, inputs, outputs, generator)
        if prior is None:
            prior = build_prior(layout, config, generator)
        self.latent_prior = prior

    @property
    def latents(self) -> int:
        """How many there are in a code."""
        return self.code_width // self.categories

    def keep_draws(self, draws: int, dimensions: int, seed: int) -> None:
        """Fix the points of standard normal noise that scores use."""
        self.register_buffer("draws", quasi_normal_draws(draws, dimensions, seed))

    def encoder_outputs(self, x: Tensor) -> Tensor:
        """(K, N, ·) for rows x (1 or K, N, W), in single precision whatever the network's."""
        outputs: Tensor = self.encoder(bend(x, self.likelihood.layout.numeric))
        return outputs.float()

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """q(z|x) for x (1 or K, N, W)."""

    def decode(self, z: Tensor, x: Tensor | None = None, members: slice = slice(None)) -> Tensor:
        """Likelihood parameters.

        Args:
            z: (K, S, N, L).
            x: (1 or K, N, W) rows whose conditions the decoder is given; only conditional
                models read them.
            members: whose codes z are, where they are not those of all K.

        Returns:
            (K, S, N, P).
        """
        return self.decoder(z.flatten(1, 2), members=members).unflatten(1, z.shape[1:3])

    def prior(self, x: Tensor | None = None) -> Prior:
        """p(z), or p(z|y) for the conditions of rows x (1 or K, N, W)."""
        return self.latent_prior.distribution(self.encode)

    def start(self, rows: Tensor, generator: torch.Generator) -> None:
        """Take first guesses from training rows (N, W), on the model's device, before training."""
        self.latent_prior.start(rows, generator)

    def fit_prior(self, rows: Tensor, seed: int) -> None:
        """Adapt the prior to training rows (N, W), on the model's device, after training."""
        self.latent_prior.fit(self.encode, rows, seed)

    def adversary(self, seed: int) -> Adversary | None:
        """The opponent that training needs, or None; it is no part of the model."""
        return None

    def anneal(self, progress: float) -> None:
        """Told before each training step how far training is, in [0, 1]; most need not know."""


def check_conditions(layout: Layout, variant: str, conditional: bool) -> None:
    """Raises ValueError where rows have conditions that the variant would not read, or none."""
    if conditional and not layout.conditions:
        raise ValueError(
            f"model {variant!r} needs a condition and no column is one: give a column the role "
            "condition, or use model 'vae'"
        )
    if layout.conditions and not conditional:
        raise ValueError(
            f"model {variant!r} reads no conditions and {len(layout.conditions)} column(s) are "
            "one: use model 'conditional', or give them another role"
        )
