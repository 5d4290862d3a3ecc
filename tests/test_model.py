import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from trajectory import model
from trajectory.records import Spectrogram
from trajectory.settings import LossSettings, ModelSettings, Settings, WindowSettings, preset
from trajectory.spectrogram import windows

BIN = 1024 / 44_100
LENGTHS = (0.25, 0.5, 2.0, 4.0)
FREQUENCIES = 20


def picture(bins: int = 400, frequencies: int = FREQUENCIES) -> Spectrogram:
    values = np.random.default_rng(0).random((bins, frequencies), dtype=np.float32)
    return Spectrogram(values=values, frequencies=np.arange(frequencies) * 43.0, bin_seconds=BIN, start=5.0, low=0, high=1)


def network(seconds: float = 0.5, **changes: Any) -> model.Autoencoder:
    torch.manual_seed(0)
    settings = Settings(**{"window": WindowSettings(seconds=seconds), **changes})
    made = model.Autoencoder(settings, frequencies=FREQUENCIES, bin_seconds=BIN)
    made.fit_scale(torch.from_numpy(picture().values))
    return made.eval()


def encode_cut_out(encoder: model.Encoder, window: Tensor) -> Tensor:
    """The definition, for one window (bins, frequencies) cut out of the song: convolution, ReLU, pooling by 2, a linear layer."""
    x = ((window - encoder.mean) / encoder.deviation).T[None]
    for stage in encoder.stages:
        x = F.max_pool1d(F.relu(F.conv1d(x, stage.weight[:, :, 0], stage.bias)), 2)
    return F.linear(x.flatten(1), encoder.point.weight.flatten(1), encoder.point.bias)[0]


@pytest.mark.parametrize("seconds", LENGTHS)
def test_one_pass_over_the_song_equals_encoding_every_window_cut_out(seconds: float) -> None:
    made, song = network(seconds), picture()
    whole = model.embed(made, song).points
    cut = windows(song, made.window)
    assert len(whole) == len(cut)
    with torch.no_grad():
        expected = torch.stack([encode_cut_out(made.encoder, torch.from_numpy(window.copy())) for window in cut])
    np.testing.assert_allclose(whole, expected.numpy(), atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(("window", "stages", "taps"), [(12, 2, 1), (22, 3, 1), (88, 3, 9), (174, 3, 20)])
def test_the_depth_follows_from_the_window(window: int, stages: int, taps: int) -> None:
    assert model.encoder_stages(window, (32, 64, 128)) == (stages, taps)


def test_embedding_in_chunks_changes_nothing() -> None:
    made, song = network(), picture(1000)
    np.testing.assert_allclose(model.embed(made, song, chunk=128).points, model.embed(made, song).points, atol=1e-5)


def test_a_points_time_is_its_windows_centre() -> None:
    times = model.embed(network(), picture()).times
    assert times[[0, -1]] == pytest.approx([5 + 11 * BIN, 5 + (400 - 11) * BIN])


def test_a_doubling_convolution_equals_upsampling_then_convolving() -> None:
    torch.manual_seed(0)
    fast, x = model.DoublingConv(5, 7).eval(), torch.randn(6, 4, 5)
    torch.nn.init.normal_(fast.bias)
    plain = F.conv1d(F.interpolate(x.permute(1, 2, 0), scale_factor=2), fast.weight, fast.bias, padding=1)
    torch.testing.assert_close(fast(x), fast.norm(F.relu(plain)).permute(2, 0, 1))


def decode_plainly(decoder: model.Decoder, points: Tensor) -> Tensor:
    """The definition: seeds, two doublings, a third upsampling, a pointwise convolution, cropped in the middle."""
    x = F.relu(decoder.seed(points)).view(len(points), decoder.steps, -1).transpose(1, 2)
    for doubling in decoder.doublings:
        x = F.conv1d(F.interpolate(x, scale_factor=2), doubling.weight, doubling.bias, padding=1)
        x = doubling.norm(F.relu(x))
    x = F.conv1d(F.interpolate(x, scale_factor=2), decoder.frequencies.weight[:, :, None], decoder.frequencies.bias)
    spare = (x.shape[2] - decoder.window) // 2
    return torch.sigmoid(x[:, :, spare : spare + decoder.window]).transpose(1, 2)


@pytest.mark.parametrize("seconds", LENGTHS)
def test_the_half_rate_decoder_equals_its_definition(seconds: float) -> None:
    decoder, points = network(seconds).decoder, torch.randn(6, 3)
    torch.testing.assert_close(decoder.windows(points), decode_plainly(decoder, points), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("seconds", LENGTHS)
def test_reconstruction_is_the_binary_cross_entropy_of_the_window(seconds: float) -> None:
    made, bins = network(seconds), torch.from_numpy(picture().values)
    starts, points = torch.tensor([0, 7, len(bins) - made.window]), torch.randn(3, 3)
    cut = torch.stack([bins[i : i + made.window] for i in starts])
    targets = made.decoder.targets(made.decoder.half_rate(bins), starts)
    fast = model.reconstruction_loss(made.decoder(points), targets, made.decoder.counts)
    assert fast.item() == pytest.approx(F.binary_cross_entropy(decode_plainly(made.decoder, points), cut).item(), abs=1e-5)


def test_the_mean_spectrums_reconstruction_is_where_an_untrained_output_starts() -> None:
    made, bins = network(), torch.from_numpy(picture().values)
    torch.nn.init.zeros_(made.decoder.frequencies.weight)
    reconstruction, of_the_mean = model.reconstruction_of(made, bins)
    assert reconstruction == pytest.approx(of_the_mean, abs=1e-6)


def test_the_forecast_loss_is_0_ahead_1_across_and_2_behind() -> None:
    truth = torch.tensor([[[1.0, 0.0]]])
    for guess, loss in ((truth * 3, 0), (truth.flip(2), 1), (-truth, 2)):
        assert float(model.forecast_loss(guess, truth)) == pytest.approx(loss)


def test_the_curvature_loss_is_the_turn_of_a_polygon() -> None:
    angles = torch.arange(13) * math.pi / 6
    circle = torch.stack([angles.cos(), angles.sin()], 1)
    assert float(model.curvature_loss(circle)) == pytest.approx(-math.cos(math.pi / 6), abs=1e-6)
    zigzag = torch.tensor([[0.0, 0], [1, 0], [0, 0], [1, 0]])
    assert float(model.curvature_loss(zigzag)) == pytest.approx(1)


def test_the_off_centre_loss_is_the_mean_squared_distance() -> None:
    assert float(model.off_centre_loss(torch.tensor([[3.0, 4.0], [0.0, 1.0]]))) == pytest.approx(13)


def test_the_kl_loss_is_0_for_the_unit_normal_and_half_the_squared_mean_beside_it() -> None:
    mean, log_variance = torch.zeros(2, 3), torch.zeros(2, 3)
    assert float(model.kl_loss(mean, log_variance)) == 0
    assert float(model.kl_loss(mean + 2, log_variance)) == pytest.approx(0.5 * 3 * 4)


@pytest.mark.parametrize("dims", [2, 12, 32])
def test_any_number_of_dimensions_serves(dims: int) -> None:
    made = network(model=ModelSettings(dims=dims))
    points = model.embed(made, picture()).points
    assert points.shape == (379, dims)
    assert model.decode(made, points[:2]).shape == (2, 22, FREQUENCIES)
    assert made.branch(torch.from_numpy(points[None, :45])).shape == (1, 4, dims)


def test_a_variational_encoders_path_is_its_mean() -> None:
    made = network(loss=LossSettings(kl=1e-4))
    assert made.encoder.point.weight.shape[0] == 6
    assert model.embed(made, picture()).dims == 3


def test_every_preset_builds() -> None:
    for name in ("pure", "conditioned", "published", "smooth", "variational"):
        assert network(**vars(preset(name))).window == 22
