from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor
from torch.nn import functional as F

from trajectory import model, networks, training
from trajectory.errors import Cancelled
from trajectory.forecasting import Forecaster, ForecastError, Library, Memory, Method, Reals, library
from trajectory.networks import Branch, Causal, Lstm, Mlp, branch_of
from trajectory.records import Trajectory
from trajectory.settings import ModelSettings, SettingsError, preset
from trajectory.training import Progress

LEARNED = (Mlp(), Lstm(), Causal())
QUICK = tuple(replace(method, steps=3) for method in LEARNED)
SMALL = ModelSettings(history=10, horizons=(1, 2))


def name(method: Method) -> str:
    return type(method).__name__


def circle(count: int, period: float = 63.7) -> Reals:
    angle = 2 * np.pi * np.arange(count) / period
    return np.stack([np.cos(angle), np.sin(angle), 0.2 * np.cos(2 * angle)], axis=1)


def past(points: Reals, *stretches: tuple[int, int]) -> Library:
    return library(Trajectory(points=points.astype(np.float32), times=np.arange(len(points)) * 0.0232), stretches, overlap=22)


def histories(lib: Library, starts: list[int], length: int = 100) -> Reals:
    return np.stack([lib.points[start - length + 1 : start + 1] for start in starts])


def futures(lib: Library, starts: list[int], steps: int) -> Reals:
    return np.stack([lib.points[start + 1 : start + 1 + steps] for start in starts])


def untrained(settings: ModelSettings = SMALL) -> Branch:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Branch(network=model.Branch(settings), look_back=settings.history)


@cache
def taught() -> Branch:
    """A branch that learned the directions of a circle, as the autoencoder's does."""
    made, points = untrained(), torch.from_numpy(circle(500)).float()
    with torch.random.fork_rng():
        torch.manual_seed(0)

        def terms() -> dict[str, Tensor]:
            now = torch.randint(9, 498, (64, 1))
            guess = made.network(points[now + torch.arange(-9, 1)])
            return {"forecast": model.forecast_loss(guess, points[now + torch.tensor([1, 2])] - points[now])}

        training.train(made.network.parameters(), terms, {"forecast": 1.0}, steps=150, rate=0.02)
    return made


@cache
def on_a_circle(method: Method) -> tuple[Library, Forecaster]:
    lib = past(circle(1_600), (0, 1_000))
    return lib, method.fit(lib)


@pytest.mark.parametrize("method", LEARNED, ids=name)
def test_a_circle_is_followed_for_hundreds_of_steps(method: Method) -> None:
    lib, made = on_a_circle(method)
    starts = [1_100, 1_133]
    error = np.linalg.norm(made.rollout(histories(lib, starts), 400) - futures(lib, starts, 400), axis=2)
    assert error[:, :30].max() < 0.05
    assert error.max() < 0.2


def test_a_network_foretells_lorenz_for_more_than_a_lyapunov_time() -> None:
    def flow(_: float, s: Reals) -> list[float]:
        return [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]]

    step, lyapunov = 0.05, 0.906
    times = np.arange(0, 340, step)
    points = solve_ivp(flow, (0, times[-1]), [1, 1, 20], t_eval=times, method="LSODA", rtol=1e-8, atol=1e-8).y.T[400:]
    lib = past(points, (0, 5_000))
    starts = list(range(5_050, 6_200, 50))
    made = Mlp(memory=Memory(count=4, lag=1), chunk=1, unrolled=5, noise=0, steps=300).fit(lib)
    missed = (made.rollout(histories(lib, starts), 100) - futures(lib, starts, 100)) / lib.known.std(axis=0)
    wrong = np.sqrt((missed**2).mean(axis=2)) > 0.4
    valid = np.where(wrong.any(axis=1), wrong.argmax(axis=1), 100)
    assert np.median(valid) * step * lyapunov > 1.3


@pytest.mark.parametrize("method", [*QUICK, untrained()], ids=name)
def test_nothing_outside_the_library_is_read(method: Method) -> None:
    clean = past(circle(1_200), (0, 600), (750, 1_000))
    poisoned = replace(clean, points=clean.points.copy())
    poisoned.points[600:750] = np.nan
    poisoned.points[1_000:] = np.nan
    then = histories(clean, [300, 550])
    told = method.fit(poisoned).rollout(then, 40)
    assert np.isfinite(told).all()
    np.testing.assert_array_equal(told, method.fit(clean).rollout(then, 40))


@pytest.mark.parametrize("method", [*QUICK, untrained()], ids=name)
def test_only_as_much_of_a_history_counts_as_is_needed(method: Method) -> None:
    lib = past(circle(600), (0, 400))
    made = method.fit(lib)
    told = made.rollout(histories(lib, [450, 470], 200), 33)
    assert told.shape == (2, 33, 3)
    assert told.dtype == np.float64
    np.testing.assert_array_equal(told, made.rollout(histories(lib, [450, 470], made.history), 33))
    changed = histories(lib, [450, 470], made.history)
    changed[:, 0] += 0.1
    assert (made.rollout(changed, 1) != told[:, :1]).any()


@pytest.mark.parametrize("method", QUICK, ids=name)
def test_a_seed_says_it_all_and_leaves_no_trace(method: Mlp | Lstm | Causal) -> None:
    lib = past(circle(400), (0, 300))
    then = histories(lib, [320])
    before = torch.get_rng_state()
    told = method.fit(lib).rollout(then, 20)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    np.testing.assert_array_equal(method.fit(lib).rollout(then, 20), told)
    assert not np.allclose(replace(method, seed=1).fit(lib).rollout(then, 20), told)


@pytest.mark.parametrize("method", QUICK, ids=name)
def test_a_training_is_reported_step_by_step(method: Mlp | Lstm | Causal) -> None:
    told: list[Progress] = []
    made = replace(method, report=told.append).fit(past(circle(400), (0, 300)))
    assert [(progress.step, progress.steps) for progress in told] == [(1, 3), (2, 3), (3, 3)]
    assert all(progress.losses["distance"] > 0 for progress in told)
    assert made.method == method


@pytest.mark.parametrize("method", QUICK, ids=name)
def test_a_report_can_cancel(method: Mlp | Lstm | Causal) -> None:
    seen: list[int] = []

    def cancel(progress: Progress) -> None:
        seen.append(progress.step)
        if progress.step == 2:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        replace(method, report=cancel).fit(past(circle(400), (0, 300)))
    assert seen == [1, 2]


def test_the_published_sizes_can_be_asked_for() -> None:
    lib = past(circle(400), (0, 300))
    mlp = Mlp(memory=Memory(count=1, lag=1), units=(12, 12), dropout=0.2, chunk=1, unrolled=1, steps=3).fit(lib)
    lstm = Lstm(memory=Memory(count=20, lag=1), units=32, chunk=1, unrolled=1, steps=3).fit(lib)
    assert (mlp.history, lstm.history) == (1, 20)
    then = histories(lib, [320])
    np.testing.assert_array_equal(mlp.rollout(then, 7), mlp.rollout(then, 7))  # dropout is for training alone
    assert lstm.rollout(then, 7).shape == (1, 7, 3)


def test_training_on_its_own_rollouts_keeps_a_forecast_on_the_circle() -> None:
    lib = past(circle(1_600), (0, 1_000))
    starts = [1_100, 1_133]
    taught_by_truth = Mlp(memory=Memory(count=1, lag=1), units=(12, 12), chunk=1, unrolled=1).fit(lib)
    published = np.linalg.norm(taught_by_truth.rollout(histories(lib, starts), 100) - futures(lib, starts, 100), axis=2)
    _, made = on_a_circle(LEARNED[0])
    ours = np.linalg.norm(made.rollout(histories(lib, starts), 100) - futures(lib, starts, 100), axis=2)
    assert ours.max() < published.max() / 5


def test_halving_the_sequence_is_a_stack_of_dilated_causal_convolutions() -> None:
    settings = Causal(levels=4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = settings.layers(3)
        seen = torch.randn(5, 16, 6)
    assert isinstance(network, networks._Convolutions)
    values = network.inputs(seen).transpose(1, 2)
    skips = [values[:, :, -1]]
    for level, (gate, residual) in enumerate(zip(network.gates, network.residuals, strict=True)):
        kernel = gate.weight.unflatten(1, (2, -1)).transpose(1, 2)
        signal, opening = F.conv1d(F.pad(values, (2**level, 0)), kernel, gate.bias, dilation=2**level).chunk(2, dim=1)
        values = values + residual((torch.tanh(signal) * torch.sigmoid(opening)).transpose(1, 2)).transpose(1, 2)
        skips.append(values[:, :, -1])
    torch.testing.assert_close(network(seen), network.head(torch.cat(skips, dim=1)))


def test_what_runs_away_is_held() -> None:
    lib = past(circle(400), (0, 300))
    far = histories(lib, [320]) + np.linspace(0, 50, 100)[None, :, None]
    for method in (*QUICK, untrained()):
        told = method.fit(lib).rollout(far, 50)
        assert told.min() >= -1
        assert told.max() <= 2


def test_the_branch_walks_as_a_plain_loop_over_whole_windows() -> None:
    """Model's coordinates in, the direction of the first horizon out, as long as the steps of the five nearest."""
    branch, lib = untrained(), past(3 * circle(600) + 5, (0, 400))
    known = lib.unscaled(lib.points[:400])
    path = list(lib.unscaled(lib.points[441:451]))
    for _ in range(12):
        window = torch.from_numpy(np.array(path[-10:])).float()[None]
        ahead = branch.network(window)[0, 0].detach().numpy().astype(np.float64)
        nearest = np.argsort(np.linalg.norm((known[:-1] - path[-1]) / lib.span, axis=1))[:5]
        length = np.linalg.norm(np.diff(known, axis=0), axis=1)[nearest].mean()
        path.append(path[-1] + ahead / np.linalg.norm(ahead) * length)
    told = branch.fit(lib).rollout(lib.points[None, 421:451], 12)
    np.testing.assert_allclose(lib.unscaled(told[0]), path[10:], atol=1e-4)


def test_a_branch_that_learned_directions_goes_round_its_circle() -> None:
    lib = past(circle(500), (0, 350))
    starts = [380, 400]
    error = np.linalg.norm(taught().fit(lib).rollout(histories(lib, starts), 30) - futures(lib, starts, 30), axis=2)
    assert error.max() < 0.2


def test_the_branch_is_the_trained_one_of_its_run() -> None:
    network = model.Autoencoder(preset("conditioned"), frequencies=20, bin_seconds=0.0232)
    made = branch_of(network)
    assert made.network is network.branch
    assert made.fit(past(circle(200), (0, 200))).history == 45
    with pytest.raises(ForecastError, match="was not trained"):
        branch_of(model.Autoencoder(preset("pure"), frequencies=20, bin_seconds=0.0232))


def test_a_branch_of_other_dimensions_is_refused() -> None:
    with pytest.raises(ForecastError, match="knows 2 dimensions, the path has 3"):
        untrained(ModelSettings(dims=2)).fit(past(circle(200), (0, 200)))


@pytest.mark.parametrize("method", [*QUICK, untrained()], ids=name)
def test_too_small_a_library_is_refused_in_one_sentence(method: Method) -> None:
    with pytest.raises(ForecastError, match="library points are too few"):
        method.fit(past(circle(100), (0, 4)))


def test_stretches_too_short_one_by_one_are_not_joined() -> None:
    with pytest.raises(ForecastError, match="120 library points are too few to learn from: 75 in one piece are needed"):
        QUICK[0].fit(past(circle(200), (0, 60), (100, 160)))


def test_more_at_once_than_is_trained_on_is_refused() -> None:
    with pytest.raises(SettingsError, match="10 points at once"):
        Mlp(unrolled=5)
    with pytest.raises(SettingsError, match="40 points at once"):
        Causal(chunk=40)


def test_a_path_that_stands_still_is_foretold_to_stand_still() -> None:
    lib = past(np.ones((300, 3)), (0, 200))
    told = Mlp(steps=60).fit(lib).rollout(histories(lib, [250]), 30)
    assert np.abs(told - lib.points[250]).max() < 0.1
