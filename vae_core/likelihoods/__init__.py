"""Likelihoods p(x|z): one file a kind, one line here."""

from .base import Likelihood
from .bernoulli import Bernoulli
from .categorical import Categorical
from .continuous_bernoulli import ContinuousBernoulli
from .cross_entropy import CrossEntropy
from .gaussian import Gaussian
from .image import PIXELS, Image
from .logistic_mixture import LogisticMixture
from .mixed import NUMERIC, Mixed, Terms
from .student_t import StudentT

LIKELIHOODS: dict[str, type[Likelihood]] = {
    "gaussian": Gaussian,
    "student_t": StudentT,
    "bernoulli": Bernoulli,
    "categorical": Categorical,
}

__all__ = [
    "LIKELIHOODS",
    "NUMERIC",
    "PIXELS",
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "CrossEntropy",
    "Gaussian",
    "Image",
    "Likelihood",
    "LogisticMixture",
    "Mixed",
    "StudentT",
    "Terms",
]
