import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trajectory import model, training
from trajectory.errors import Cancelled
from trajectory.records import Floats, Spectrogram
from trajectory.settings import LossSettings, ModelSettings, Settings, TrainingSettings, preset


def song(bins: int = 400, frequencies: int = 20, noise: float = 0.1) -> Spectrogram:
    """A tone that glides up and down every 60 bins, over noise."""
    place = frequencies / 2 * (1 + 0.8 * np.sin(2 * np.pi * np.arange(bins) / 60))
    tone = np.exp(-((np.arange(frequencies) - place[:, None]) ** 2) / 4)
    values = ((1 - noise) * tone + noise * np.random.default_rng(0).random((bins, frequencies))).astype(np.float32)
    return Spectrogram(values=values, frequencies=np.arange(frequencies) * 43.0, bin_seconds=1024 / 44_100, start=0, low=0, high=1)


def settings(name: str = "conditioned", **changes: object) -> Settings:
    return preset(name, training=TrainingSettings(**{"steps": 30, "batch": 32, "device": "cpu", **changes}))


def points(fitted: training.Fitted, picture: Spectrogram) -> Floats:
    return model.embed(fitted.network, picture).points


def test_a_parabola_is_minimised_and_every_term_is_kept() -> None:
    place = nn.Parameter(torch.tensor([3.0, -2.0]))
    history = training.train(
        [place], lambda: {"square": place.square().sum(), "tilt": place.sum()}, {"square": 1, "tilt": 2}, steps=400, rate=0.1
    )
    assert place.tolist() == pytest.approx([-1, -1], abs=0.01)
    np.testing.assert_allclose(history["total"], history["square"] + 2 * history["tilt"], rtol=1e-5, atol=1e-5)
    assert history["square"][0] == pytest.approx(13)


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = training.one_cycle(200, 0.01)
    assert int(rates.argmax()) == pytest.approx(0.3 * 200, abs=2)
    assert rates.max().item() == pytest.approx(0.01, rel=0.01)
    assert rates[[0, -1]].tolist() == pytest.approx([0.01 / 0.3 / 201, 0.01 / 0.7 / 201], rel=1e-4)
    assert (rates[:60].diff() > 0).all()
    assert (rates[61:].diff() < 0).all()


@pytest.mark.parametrize("name", ["pure", "conditioned", "published", "smooth", "variational"])
def test_every_preset_learns_more_than_the_mean_spectrum(name: str) -> None:
    fitted = training.train_autoencoder(song(), settings(name, steps=60))
    assert fitted.reconstruction < fitted.mean_reconstruction - 0.01
    assert all(len(column) == 60 and np.isfinite(column).all() for column in fitted.losses.values())


def test_the_same_seed_gives_the_same_path_and_another_seed_another() -> None:
    paths = [points(training.train_autoencoder(song(), settings(seed=seed)), song()) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(paths[0], paths[1])
    assert np.abs(paths[0] - paths[2]).max() > 1e-3


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    training.train_autoencoder(song(), settings(steps=2))
    assert torch.equal(torch.rand(1), expected)


def test_conditioning_makes_the_path_smoother() -> None:
    def turn(name: str) -> float:
        picture = song(noise=0.8)
        steps = np.diff(points(training.train_autoencoder(picture, settings(name, steps=200)), picture), axis=0)
        steps /= np.linalg.norm(steps, axis=1, keepdims=True)
        return float((steps[1:] * steps[:-1]).sum(1).mean())

    assert turn("conditioned") > turn("pure") + 0.1
    assert turn("smooth") > turn("pure") + 0.1


@pytest.mark.parametrize("name", ["conditioned", "variational"])
def test_a_network_trained_until_a_moment_knows_nothing_of_what_follows(name: str) -> None:
    one, other = song(), song()
    other.values[280:] = np.random.default_rng(1).random((120, 20))
    chosen = settings(name, until=0.7)
    first, second = (points(training.train_autoencoder(picture, chosen), picture) for picture in (one, other))
    known = 280 - 22 + 1
    np.testing.assert_array_equal(first[:known], second[:known])
    assert np.abs(first[known:] - second[known:]).max() > 1e-3


def test_a_long_song_is_met_in_stretches_of_one_length() -> None:
    picture, seen = song(2_000), []
    chosen = settings(stretch=300, steps=8)
    network = model.Autoencoder(chosen, frequencies=20, bin_seconds=picture.bin_seconds)
    network.encoder.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    terms = training.SongTerms(network, torch.from_numpy(picture.values), chosen)
    for _ in range(8):
        terms()
    assert {len(bins) for bins in seen} == {300}
    assert len({bins[0, 0].item() for bins in seen}) > 4  # from different places


def test_the_windows_of_a_step_are_spread_over_the_whole_stretch() -> None:
    chosen = settings()
    terms = training.SongTerms(model.Autoencoder(chosen, frequencies=20, bin_seconds=1024 / 44_100), torch.rand(400, 20), chosen)
    for below, count in ((379, 32), (5, 32), (1, 1), (1_703, 128)):
        places = torch.stack([terms._places(below, count) for _ in range(200)])
        assert places.min() == 0
        assert places.max() == below - 1
        assert ((places - torch.arange(count) * below / count) < below / count + 1).all()


def test_a_stretchs_windows_are_compared_with_the_songs_own_bins() -> None:
    """Were targets and points taken from different places, the loss of a decoder that knows each bin by heart would not be its own."""
    picture = song(1_000)
    picture.values[:] = np.linspace(0.1, 0.9, 1_000, dtype=np.float32)[:, None]
    chosen = settings("pure", stretch=300)
    network = model.Autoencoder(chosen, frequencies=20, bin_seconds=picture.bin_seconds)
    bins = torch.from_numpy(picture.values)
    terms = training.SongTerms(network, bins, chosen)
    network.encoder.forward = lambda stretch: stretch[:-21, :3]
    heard: list[tuple[Tensor, Tensor]] = []
    network.decoder.forward = lambda place: heard.append((place, place)) or torch.zeros(12, len(place), 20)
    taken: list[Tensor] = []
    targets = network.decoder.targets
    network.decoder.targets = lambda table, starts: taken.append(starts) or targets(table, starts)
    for _ in range(3):
        terms()
    for (place, _), starts in zip(heard, taken, strict=True):
        torch.testing.assert_close(place[:, 0], bins[starts, 0])


@pytest.mark.parametrize("name", ["smooth", "variational"])
def test_a_step_reads_nothing_back_from_its_device(name: str) -> None:
    """On the meta device, where tensors have no values, reading one would fail: what CUDA needs to record a step as a graph."""
    chosen = settings(name)
    with torch.device("meta"):
        network = model.Autoencoder(chosen, frequencies=20, bin_seconds=1024 / 44_100)
        terms = training.SongTerms(network, torch.empty(2_000, 20), chosen)
        torch.stack(list(terms().values())).sum().backward()
    assert network.encoder.point.weight.grad is not None


def test_the_report_tells_the_step_the_losses_and_the_time_left() -> None:
    told: list[training.Progress] = []
    training.train_autoencoder(song(), settings(steps=12), report=lambda progress, _: told.append(progress))
    assert [progress.step for progress in told] == list(range(1, 13))
    assert set(told[0].losses) == {"reconstruction", "forecast", "total"}
    assert told[-1].seconds_left == 0 < told[5].seconds_left


def test_a_report_can_cancel() -> None:
    def cancel(progress: training.Progress, _: model.Autoencoder) -> None:
        if progress.step == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        training.train_autoencoder(song(), settings(), report=cancel)


def test_a_training_that_diverges_says_so() -> None:
    place = nn.Parameter(torch.ones(1))
    with pytest.raises(training.TrainingError, match="diverged before step 1 of 10"):
        training.train([place], lambda: {"bad": place.sum() * math.inf}, {"bad": 1}, steps=10, rate=0.1)


def test_too_short_a_song_says_what_is_needed() -> None:
    with pytest.raises(training.TrainingError, match=r"1\.4 s of sound at once; at least 1\.7 s are needed"):
        training.train_autoencoder(song(60), settings())


def test_the_branch_is_asked_about_the_future_from_the_past_alone() -> None:
    """On the path z_t = t the history ends at now, and what it is compared with lies 1, 2, 4 and 8 ahead."""
    chosen = settings()
    network = model.Autoencoder(chosen, frequencies=20, bin_seconds=1024 / 44_100)
    terms = training.SongTerms(network, torch.rand(400, 20), chosen)
    path = torch.arange(379.0)[:, None].expand(-1, 3).clone().requires_grad_()
    asked: list[Tensor] = []

    def answer(histories: Tensor) -> Tensor:
        asked.append(histories)
        return torch.tensor([1.0, 2, 4, 8])[:, None].expand(len(histories), 4, 3)

    network.branch.forward = answer
    terms._forecast(torch.zeros(1), path, path[:, :0])
    (histories,) = asked
    assert histories.shape == (32, 45, 3)
    assert (histories.diff(dim=1) == 1).all()
    assert histories[:, -1].max() <= 379 - 8 - 1
    truth = path[histories[:, -1, 0].long()[:, None] + torch.tensor([1, 2, 4, 8])] - histories[:, -1:]
    assert torch.equal(truth[0, :, 0], torch.tensor([1.0, 2, 4, 8]))


def test_both_sides_of_the_forecast_are_trained() -> None:
    guess, truth = (torch.randn(4, 2, 3, requires_grad=True) for _ in range(2))
    model.forecast_loss(guess, truth).backward()
    assert guess.grad is not None
    assert truth.grad is not None
    assert truth.grad.abs().max() > 0


def test_a_variational_point_is_decoded_somewhere_within_its_spread() -> None:
    chosen = settings("variational")
    network = model.Autoencoder(chosen, frequencies=20, bin_seconds=1024 / 44_100)
    terms = training.SongTerms(network, torch.rand(400, 20), chosen)
    decoded: list[Tensor] = []
    network.decoder.register_forward_hook(lambda _, inputs, __: decoded.append(inputs[0]))
    points, spread = torch.zeros(379, 3), torch.full((379, 3), 2 * math.log(0.5))
    for _ in range(20):
        terms._reconstruction(torch.zeros(1, dtype=torch.long), points, spread)
    assert torch.cat(decoded).std().item() == pytest.approx(0.5, rel=0.05)


def test_threads_are_as_before_after_training() -> None:
    torch.set_num_threads(2)
    training.train_autoencoder(song(), settings(steps=1))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_a_stretch_too_short_for_the_history_is_refused() -> None:
    chosen = preset("conditioned", model=ModelSettings(history=300), training=TrainingSettings(stretch=256, device="cpu"))
    with pytest.raises(training.TrainingError, match="or a shorter window, history or horizon"):
        training.train_autoencoder(song(600), chosen)


def test_a_training_that_ends_worse_than_it_began_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rate leads there depends on the processor's rounding, so the end is given."""
    monkeypatch.setattr(model, "reconstruction_of", lambda *_: (0.106, 0.1))
    with pytest.raises(training.TrainingError, match="worse than the mean spectrum; choose a lower rate"):
        training.train_autoencoder(song(), settings(steps=30))
    monkeypatch.setattr(model, "reconstruction_of", lambda *_: (0.104, 0.1))
    assert training.train_autoencoder(song(), settings(steps=30)).reconstruction == 0.104


def test_a_term_that_is_switched_off_is_not_computed() -> None:
    chosen = Settings(loss=LossSettings(reconstruction=0, curvature=1), training=settings().training)
    assert set(training.train_autoencoder(song(), chosen).losses) == {"curvature", "total"}


def test_steps_grow_more_slowly_than_the_song() -> None:
    chosen = TrainingSettings()
    steps = [training.steps_for(bins, chosen) for bins in (1_292, 1_724, 12_920)]
    assert steps[0] == steps[1]
    assert 2 < steps[2] / steps[0] < 4
    assert training.steps_for(12_920, TrainingSettings(steps=77)) == 77


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_learns_what_the_cpu_learns() -> None:
    gains = []
    for device in ("cpu", "cuda"):
        fitted = training.train_autoencoder(song(), settings(steps=100, device=device))
        gains.append(fitted.mean_reconstruction - fitted.reconstruction)
    assert gains[1] == pytest.approx(gains[0], rel=0.1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_asking_for_cuda_where_there_is_none_is_refused() -> None:
    with pytest.raises(training.TrainingError, match="no CUDA device"):
        training.train_autoencoder(song(), settings(device="cuda"))
