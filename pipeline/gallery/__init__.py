"""Figures of what a model makes: pictures side by side, marginals and walks of tables."""

from pipeline.gallery.grids import conditional_grid, picture_grid, reconstruction_grid, walk_grid
from pipeline.gallery.latents import labelled_scatter
from pipeline.gallery.marginals import marginals
from pipeline.gallery.rates import rate_distortion
from pipeline.gallery.trained import drawings
from pipeline.gallery.walks import table_walks, walk_span, walk_unit

__all__ = [
    "conditional_grid",
    "drawings",
    "labelled_scatter",
    "marginals",
    "picture_grid",
    "rate_distortion",
    "reconstruction_grid",
    "table_walks",
    "walk_grid",
    "walk_span",
    "walk_unit",
]
