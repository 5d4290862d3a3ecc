"""train(): the only optimisation loop; and what a song's autoencoder is trained on. Knows no files and no user interface."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trajectory import model
from trajectory.errors import TrajectoryError
from trajectory.records import Floats, Spectrogram
from trajectory.settings import LossSettings, Settings, TrainingSettings
from trajectory.spectrogram import seen_bins

STEPS_TO_JUDGE = 30  # with fewer the batch norm has not settled
STEPS = 120  # for a song of one stretch
WARM_UP = 0.3  # share of the steps on which the rate rises
BETAS = (0.7, 0.99)  # short memories: in so few steps Adam's usual ones learn a tenth less, and rougher paths
STEPS_BEFORE_CAPTURE = 3  # on CUDA: lets cuDNN choose and the allocator settle

Terms = Callable[[], dict[str, Tensor]]


class TrainingError(TrajectoryError):
    """A training that cannot begin, or that went astray."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands; the callback that gets it may raise Cancelled."""

    step: int  # done so far
    steps: int
    losses: dict[str, float]
    seconds_left: float


Report = Callable[[Progress], None]


def train(
    parameters: Iterable[nn.Parameter], terms: Terms, weights: Mapping[str, float], *, steps: int, rate: float, report: Report | None = None
) -> dict[str, Floats]:
    """Minimises the weighted sum of the named `terms`; returns each of them, unweighted, and `total`, by step."""
    loop = _Loop(list(parameters), terms, weights, steps=steps, rate=rate)
    advance = loop.capture() if loop.cuda and steps > STEPS_BEFORE_CAPTURE else loop.step
    every = max(1, steps // 40) if loop.cuda else 1  # a report has to wait for the GPU
    began = time.perf_counter()
    first = loop.done
    while loop.done < steps:
        advance()
        loop.done += 1
        if loop.done % every == 0 or loop.done == steps:
            loop.check(since=loop.done - every)
            if report is not None:
                left = (time.perf_counter() - began) / (loop.done - first) * (steps - loop.done)
                report(Progress(step=loop.done, steps=steps, losses=loop.losses(), seconds_left=left))
    return loop.history()


class _Loop:
    """The state of one optimisation, all of it on the device: a step reads nothing back, so CUDA can replay it as one graph."""

    def __init__(self, parameters: list[nn.Parameter], terms: Terms, weights: Mapping[str, float], *, steps: int, rate: float) -> None:
        self.terms, self.weights = terms, weights
        device = parameters[0].device
        self.cuda = device.type == "cuda"
        self.rates = one_cycle(steps, rate).to(device)
        self.rate = self.rates[0].clone()
        self.optimiser = torch.optim.Adam(parameters, lr=self.rate, betas=BETAS, fused=True, capturable=self.cuda)
        self.cursor = torch.zeros(1, dtype=torch.long, device=device)
        self.names: list[str] = []
        self.rows = torch.full((steps, len(weights) + 1), math.nan, device=device)
        self.done = 0

    def step(self) -> None:
        named = self.terms()
        total = torch.stack([self.weights[name] * value for name, value in named.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.rate.copy_(self.rates[self.cursor].squeeze(0))
        self.optimiser.step()
        self.rows.index_copy_(0, self.cursor, torch.stack([*named.values(), total]).detach()[None])
        self.cursor += 1
        self.names = [*named, "total"]

    def capture(self) -> Callable[[], None]:
        """Takes the first few steps, then records one as a CUDA graph: a step is a fraction of a millisecond of work in 200 launches."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(STEPS_BEFORE_CAPTURE):
                self.step()
                self.done += 1
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self.step()
        return graph.replay

    def check(self, *, since: int) -> None:
        totals = self.rows[max(0, since) : self.done, -1].cpu()
        if not totals.isfinite().all():
            raise TrainingError(
                f"training diverged before step {self.done} of {len(self.rows)}; choose a lower rate or smaller loss weights"
            )

    def losses(self) -> dict[str, float]:
        return dict(zip(self.names, self.rows[self.done - 1].tolist(), strict=True))

    def history(self) -> dict[str, Floats]:
        return dict(zip(self.names, self.rows.T.cpu().numpy(), strict=True))


def one_cycle(steps: int, rate: float) -> Tensor:
    """The rate by step: straight up to `rate` over the warm-up, then straight down to nothing."""
    at = (torch.arange(steps) + 1) / (steps + 1)
    return rate * torch.minimum(at / WARM_UP, (1 - at) / (1 - WARM_UP))


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A song's trained network, and how it got there."""

    network: model.Autoencoder
    losses: dict[str, Floats]
    device: str
    reconstruction: float
    mean_reconstruction: float


def train_autoencoder(
    spectrogram: Spectrogram, settings: Settings, *, report: Callable[[Progress, model.Autoencoder], None] | None = None
) -> Fitted:
    """Trains one song's network on the first `until` of it; one thread, because small convolutions on shared cores want no more."""
    device = choose_device(settings.training.device)
    with one_thread(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.training.seed)
        network = model.Autoencoder(settings, frequencies=spectrogram.values.shape[1], bin_seconds=spectrogram.bin_seconds)
        seen = spectrogram.values[: seen_bins(spectrogram.bins, settings.training.until)]
        needed = network.window + settings.model.history + settings.model.horizons[-1]
        if min(len(seen), settings.training.stretch) < needed:
            raise TrainingError(
                f"the network would see {min(len(seen), settings.training.stretch) * spectrogram.bin_seconds:.2g} s of sound at once; "
                f"at least {needed * spectrogram.bin_seconds:.2g} s are needed, or a shorter window, history or horizon"
            )
        bins = torch.from_numpy(seen).to(device)
        network.to(device).fit_scale(bins)
        terms = SongTerms(network, bins, settings)
        losses = train(
            network.parameters(),
            terms,
            terms.weights(),
            steps=steps_for(len(bins), settings.training),
            rate=settings.training.rate,
            report=None if report is None else lambda progress: report(progress, network),
        )
        reconstruction, mean_reconstruction = model.reconstruction_of(network, bins)
    if len(losses["total"]) >= STEPS_TO_JUDGE and reconstruction > 1.05 * mean_reconstruction and settings.loss.reconstruction:
        raise TrainingError(f"training diverged: it ended worse than the mean spectrum; choose a lower rate (now {settings.training.rate})")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Fitted(network=network, losses=losses, device=name, reconstruction=reconstruction, mean_reconstruction=mean_reconstruction)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Small tensors on shared cores want no more; what was set before comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_device(wanted: str) -> torch.device:
    """CUDA where it is wanted or there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise TrainingError("there is no CUDA device here; choose --device cpu or auto")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def steps_for(bins: int, settings: TrainingSettings) -> int:
    """Half again as many steps for twice the song, beyond one stretch: what repeats need not be learned again."""
    if settings.steps is not None:
        return settings.steps
    return int(STEPS * max(1.0, bins / settings.stretch) ** 0.6)


class SongTerms:
    """One step's losses: a stretch of the song embedded whole, random windows of it decoded, the branch asked at random places."""

    def __init__(self, network: model.Autoencoder, bins: Tensor, settings: Settings) -> None:
        self.network, self.bins = network, bins
        self.loss: LossSettings = settings.loss
        self.batch = settings.training.batch
        self.stretch = min(settings.training.stretch, len(bins))
        device = bins.device
        self.along = torch.arange(self.stretch, device=device)
        self.history = torch.arange(1 - settings.model.history, 1, device=device)
        self.horizons = torch.tensor(settings.model.horizons, device=device)
        self.table = network.decoder.half_rate(bins)

    def weights(self) -> dict[str, float]:
        """The terms that count, by the names of LossSettings."""
        return {name: weight for name, weight in dataclasses.asdict(self.loss).items() if weight > 0}

    def __call__(self) -> dict[str, Tensor]:
        at = self._places(len(self.bins) - self.stretch + 1, 1)
        bins = self.bins if self.stretch == len(self.bins) else self.bins[at + self.along]
        encoded = self.network.encoder(bins)
        points, spread = encoded.tensor_split([self.network.settings.model.dims], dim=1)
        return {name: getattr(self, f"_{name}")(at, points, spread) for name in self.weights()}

    def _reconstruction(self, at: Tensor, points: Tensor, spread: Tensor) -> Tensor:
        decoder = self.network.decoder
        chosen = self._places(len(points), self.batch)
        place = points[chosen]
        if self.network.variational:
            place = place + torch.randn_like(place) * (0.5 * spread[chosen]).exp()
        return model.reconstruction_loss(decoder(place), decoder.targets(self.table, at + chosen), decoder.counts)

    def _forecast(self, _at: Tensor, points: Tensor, _spread: Tensor) -> Tensor:
        first, last = len(self.history) - 1, len(points) - int(self.network.settings.model.horizons[-1])
        now = first + self._places(last - first, self.batch)
        guess = self.network.branch(points[now[:, None] + self.history])
        return model.forecast_loss(guess, points[now[:, None] + self.horizons] - points[now][:, None])

    def _curvature(self, _at: Tensor, points: Tensor, _spread: Tensor) -> Tensor:
        return model.curvature_loss(points)

    def _off_centre(self, _at: Tensor, points: Tensor, _spread: Tensor) -> Tensor:
        return model.off_centre_loss(points)

    def _kl(self, _at: Tensor, points: Tensor, spread: Tensor) -> Tensor:
        return model.kl_loss(points, spread)

    def _places(self, below: int, count: int) -> Tensor:
        """One random place in each of `count` equal parts: neighbouring windows say much the same, so spreading them out learns more."""
        parts = torch.arange(count, device=self.bins.device) + torch.rand(count, device=self.bins.device)
        return (parts * (below / count)).long().clamp(max=below - 1)
