"""Per-pixel maps are the picture's scores, taken apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vae_core import Encoding, ImageColumn, ModelConfig, NumericColumn, build_model
from vae_core.heat import heat
from vae_core.likelihoods.image import PIXELS
from vae_core.models import MODELS
from vae_core.references import References
from vae_core.scores import row_terms

SHAPES = [(5, 4, 1), (5, 4, 3)]


def _encoded(shape: tuple[int, int, int], binary: bool = False) -> tuple[Encoding, torch.Tensor]:
    encoding = Encoding([ImageColumn("picture", *shape)])
    pictures = np.random.default_rng(0).integers(0, 256, (5, *shape))
    pictures = 255 * (pictures > 127) if binary else pictures
    return encoding, torch.from_numpy(encoding.encode({"picture": pictures})[0])


@pytest.mark.parametrize("pixels", PIXELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_maps_add_up_to_the_scores(pixels: str, shape: tuple[int, int, int]) -> None:
    encoding, x = _encoded(shape, binary=pixels == "bernoulli")
    model = build_model(encoding.layout, ModelConfig(pixels=pixels, hidden=(16,)))
    terms, maps = row_terms(model, References.of(model, x), x), heat(model, x)
    assert maps.error.shape == maps.surprise.shape == (5, *shape[:2])
    cells = np.prod(shape)
    error, value = terms.error[:, 0].double(), terms.value[:, 0].double()
    torch.testing.assert_close(maps.error.sum((1, 2)) / cells, error, rtol=1e-5, atol=0)
    torch.testing.assert_close(maps.surprise.sum((1, 2)), value, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("variant", [v for v in MODELS if v != "conditional"])
def test_a_map_is_the_same_in_any_batch(variant: str) -> None:
    encoding, x = _encoded((8, 8, 1))
    model = build_model(encoding.layout, ModelConfig(variant=variant, hidden=(16,)))
    whole, one = heat(model, x), heat(model, x[3:4])
    assert torch.equal(whole.error[3:4], one.error)
    assert torch.equal(whole.surprise[3:4], one.surprise)
    assert bool((whole.error >= 0).all())


def test_columns_have_no_map() -> None:
    encoding = Encoding([NumericColumn("x", 0.0, 1.0)])
    model = build_model(encoding.layout, ModelConfig(hidden=(16,)))
    with pytest.raises(ValueError, match="of pictures"):
        heat(model, torch.zeros(1, 8))
