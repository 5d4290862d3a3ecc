from fractions import Fraction

import numpy as np
import pytest
import torch
from torchaudio.transforms import Resample

from trajectory.resampling import LARGEST_KERNEL, ratios, resampled


@pytest.mark.parametrize("rate", [8_000, 44_099, 48_000, 96_000])
def test_resampling_by_pieces_gives_the_samples_of_one_go(rate: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, round(7.3 * rate)).astype(np.float32)
    for ratio in ratios(rate, 44_100):
        pieces = iter(np.array_split(samples, 97))
        by_pieces = np.concatenate(list(resampled(pieces, ratio)))
        in_one_go = Resample(ratio.denominator, ratio.numerator)(torch.from_numpy(samples)).numpy()
        np.testing.assert_allclose(by_pieces, in_one_go, atol=1e-6)
        samples = by_pieces


def test_no_rate_needs_a_large_kernel_or_drifts_a_millisecond_in_20_minutes() -> None:
    rates = [*range(8_000, 8_010), *range(44_095, 44_105), *range(191_990, 192_001), *range(8_000, 192_000, 3_989)]
    for rate in rates:
        factors = ratios(rate, 44_100)
        product = float(np.prod([float(ratio) for ratio in factors]))
        assert abs(product / (44_100 / rate) - 1) * 20 * 60 < 0.001, rate
        assert all(ratio.numerator * ratio.denominator <= LARGEST_KERNEL for ratio in factors), rate


def test_exact_rates_are_resampled_exactly() -> None:
    assert ratios(48_000, 44_100) == (Fraction(147, 160),)
    assert ratios(44_100, 44_100) == ()
