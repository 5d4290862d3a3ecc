"""Sound at one rate -> sound at another, piece by piece, so that memory stays bounded whatever the rates are."""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from trajectory.records import Floats

PIECE = 65_536  # samples resampled at once
LARGEST_KERNEL = 2_000_000  # numbers


def ratios(rate: int, wanted: int) -> tuple[Fraction, ...]:
    """The factors to resample by: one, or two in a row where the kernel for the exact one would fill the memory.

    Two small fractions multiply to within half a millisecond in 20 minutes of any ratio; a single one would miss 44099 Hz by 27 ms.
    """
    exact = Fraction(wanted, rate)
    if exact.numerator * exact.denominator <= LARGEST_KERNEL:
        return () if exact == 1 else (exact,)
    firsts = (Fraction(n + 1, n) for n in range(100, 700))
    return min(((first, (exact / first).limit_denominator(600)) for first in firsts), key=lambda pair: abs(pair[0] * pair[1] - exact))


def resampled(blocks: Iterator[Floats], ratio: Fraction) -> Iterator[Floats]:
    """Piece by piece what torchaudio makes of the whole: each piece is given the sound around it, and its edges are cut away."""
    import torch
    from torchaudio.transforms import Resample  # brings torch along, which costs seconds that a refusal need not wait for

    new, old = ratio.numerator, ratio.denominator
    resample = Resample(old, new)
    edge = resample.width // old + 1  # in units of `old` samples, which become `new` ones
    waiting, size, heard, made = [np.zeros(edge * old, np.float32)], edge * old, 0, 0
    for block in blocks:
        waiting.append(block)
        size += len(block)
        heard += len(block)
        if size >= PIECE + (2 * edge + 1) * old:
            held = np.concatenate(waiting)
            units = size // old - 2 * edge
            yield resample(torch.from_numpy(held[: (units + 2 * edge) * old])).numpy()[edge * new : (edge + units) * new]
            made += units * new
            waiting, size = [held[units * old :]], size - units * old
    held = np.concatenate([*waiting, np.zeros((edge + 1) * old, np.float32)])
    yield resample(torch.from_numpy(held)).numpy()[edge * new :][: math.ceil(heard * ratio) - made]
