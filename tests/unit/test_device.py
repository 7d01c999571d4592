"""The choice of the device, and the thread count while scoring."""

import pytest
import torch

from vae_core import choose_device
from vae_core.device import single_threaded


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_cuda_without_a_card_is_a_clear_error() -> None:
    with pytest.raises(ValueError, match="torch sees no CUDA card here; use device 'auto'"):
        choose_device("cuda")


def test_auto_takes_what_is_there() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ValueError, match="unknown device 'tpu'; known: auto, cpu, cuda"):
        choose_device("tpu")


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with single_threaded():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
