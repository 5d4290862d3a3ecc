"""Forecasters that learn: small networks trained on a library by what came of their own rollouts, and the autoencoder's own branch.

They stand under the same protocol as those in forecasting.py, in the library's scale.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import torch
from scipy.spatial import cKDTree  # KDTree without its checks, which take longer than a search
from torch import Tensor, nn
from torch.nn import functional as F

from trajectory import model
from trajectory.forecasting import HORIZON, ForecastError, Library, Memory, Method, Reals
from trajectory.settings import Device, SettingsError
from trajectory.training import Report, choose_device, one_thread, train

BOUNDS = (-1.0, 2.0)  # of a forecast, in the library's scale: what runs away ends here
A_SECOND = Memory(count=23, lag=2)  # of points 23 ms apart, every other one
TWENTY = Memory(count=20, lag=2)  # as many as were published, twice as far apart


@dataclass(frozen=True, kw_only=True)
class _Learned(ABC):
    """What they share: a memory in, the next `chunk` points out, and a training on rollouts `unrolled` steps long.

    With chunk=1 and unrolled=1 it is the published way: the next displacement, taught by true points alone.
    """

    memory: Memory = A_SECOND
    chunk: int = 10  # points foretold at once
    unrolled: int = HORIZON
    noise: float = 0.01  # on the memory in training, in the library's scale: paths near the known one lead back to it
    dropout: float = 0.0  # before the last layer
    steps: int = 200
    batch: int = 64
    rate: float = 0.01
    seed: int = 0
    device: Device = "cpu"
    report: Report | None = field(default=None, compare=False, repr=False)  # follows the training and may raise Cancelled

    def __post_init__(self) -> None:
        if not 1 <= self.chunk <= self.unrolled:
            raise SettingsError(
                f"{self.chunk} points at once cannot be learned from rollouts of {self.unrolled} steps; choose 1 to as many"
            )

    @abstractmethod
    def layers(self, dims: int) -> nn.Module:
        """(batch, count, 2 * dims), positions and velocities -> (batch, chunk * dims)."""

    def fit(self, library: Library) -> "_Walker":
        moments = library.moments(before=self.memory.reach, after=self.unrolled)
        if not len(moments):
            raise ForecastError(
                f"{len(library.known)} library points are too few to learn from: {self.memory.reach + 1 + self.unrolled} in one piece are "
                "needed; leave more of the song to it"
            )
        device = choose_device(self.device)
        with one_thread(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.seed)
            network = _Walk(self.layers(library.points.shape[1]), self.memory, _travel(library, max(self.unrolled, self.memory.lag)))
            terms = _Rollouts(network.to(device), library, torch.from_numpy(moments).to(device), self)
            train(network.parameters(), terms, {"distance": 1.0}, steps=self.steps, rate=self.rate, report=self.report)
        return _Walker(self, network.cpu().eval())


@dataclass(frozen=True, kw_only=True)
class Mlp(_Learned):
    """Dense layers; published were two of 12 units, with dropout, on the present point alone."""

    units: tuple[int, ...] = (128, 128)

    def layers(self, dims: int) -> nn.Module:
        sizes = (self.memory.count * dims, *self.units)
        dense = [layer for a, b in zip(sizes[:-1], self.units, strict=True) for layer in (nn.Linear(a, b), nn.ReLU())]
        return nn.Sequential(_Present(), *dense, nn.Dropout(self.dropout), nn.Linear(sizes[-1], self.chunk * dims))


@dataclass(frozen=True, kw_only=True)
class Lstm(_Learned):
    """A recurrent layer that reads the memory in order; published were 32 units and 20 points."""

    memory: Memory = TWENTY
    chunk: int = 15
    steps: int = 120
    units: int = 64

    def layers(self, dims: int) -> nn.Module:
        return _Recurrent(dims, self)


@dataclass(frozen=True, kw_only=True)
class Causal(_Learned):
    """Dilated causal convolutions of width 2 as in WaveNet; the memory is as long as what they see, a power of two."""

    steps: int = 90
    rate: float = 0.015
    levels: int = 5
    lag: int = 2
    channels: int = 16
    memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "memory", Memory(count=2**self.levels, lag=self.lag))

    def layers(self, dims: int) -> nn.Module:
        return _Convolutions(dims, self)


class _Present(nn.Module):
    """Where the path is, and how it came there: what is seen, each thing said once."""

    def forward(self, seen: Tensor) -> Tensor:
        positions, velocities = seen.chunk(2, dim=2)
        return torch.cat([velocities[:, 1:].flatten(1), positions[:, -1]], dim=1)


class _Recurrent(nn.Module):
    def __init__(self, dims: int, settings: Lstm) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2 * dims, settings.units, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(settings.units, settings.chunk * dims))

    def forward(self, seen: Tensor) -> Tensor:
        return self.head(self.lstm(seen)[0][:, -1])


class _Convolutions(nn.Module):
    """Only the last output is wanted, and of a dilated layer it needs every second value alone: each level halves the sequence."""

    def __init__(self, dims: int, settings: Causal) -> None:
        super().__init__()
        channels = settings.channels
        self.inputs = nn.Linear(2 * dims, channels)
        self.gates = nn.ModuleList(nn.Linear(2 * channels, 2 * channels) for _ in range(settings.levels))
        self.residuals = nn.ModuleList(nn.Linear(channels, channels) for _ in range(settings.levels))
        self.head = nn.Sequential(
            nn.Linear((settings.levels + 1) * channels, 64), nn.ReLU(), nn.Dropout(settings.dropout), nn.Linear(64, settings.chunk * dims)
        )

    def forward(self, seen: Tensor) -> Tensor:
        values = self.inputs(seen)
        skips = [values[:, -1]]
        for gate, residual in zip(self.gates, self.residuals, strict=True):
            pairs = values.unflatten(1, (-1, 2))
            signal, opening = gate(pairs.flatten(2)).chunk(2, dim=-1)
            values = pairs[:, :, 1] + residual(torch.tanh(signal) * torch.sigmoid(opening))
            skips.append(values[:, -1])
        return self.head(torch.cat(skips, dim=1))


class _Walk(nn.Module):
    """Goes on from paths, chunk by chunk: the same in training and in forecasts."""

    travel: Tensor

    def __init__(self, layers: nn.Module, memory: Memory, travel: Tensor) -> None:
        super().__init__()
        self.layers, self.memory = layers, memory
        self.register_buffer("travel", travel)  # (steps,): how far the path goes in 1, 2, ... steps

    def forward(self, paths: Tensor, steps: int) -> Tensor:
        """(batch, history or more, dims) -> (batch, steps, dims)."""
        length, told = self.memory.reach + 1, list[Tensor]()
        while sum(chunk.shape[1] for chunk in told) < steps:
            paths = paths[:, -length:]
            told.append(self._chunk(paths))
            paths = torch.cat([paths, told[-1]], dim=1)
        return torch.cat(told, dim=1)[:, :steps]

    def _chunk(self, paths: Tensor) -> Tensor:
        seen = paths[:, :: self.memory.lag]
        velocities = F.pad(seen.diff(dim=1) / self.travel[self.memory.lag - 1], (0, 0, 1, 0))
        ahead = self.layers(torch.cat([2 * seen - 1, velocities], dim=2)).view(len(paths), -1, paths.shape[2])
        return (paths[:, -1:] + self.travel[: ahead.shape[1], None] * ahead).clamp(*BOUNDS)


class _Rollouts:
    """One step's loss: from random moments of the library, memory slightly wrong, on for many steps."""

    def __init__(self, network: _Walk, library: Library, moments: Tensor, settings: _Learned) -> None:
        self.network, self.moments, self.settings = network, moments, settings
        device = moments.device
        self.points = torch.from_numpy(library.points).float().to(device)
        self.back = torch.arange(-settings.memory.reach, 1, device=device)
        self.ahead = torch.arange(1, settings.unrolled + 1, device=device)

    def __call__(self) -> dict[str, Tensor]:
        now = self.moments[torch.randint(len(self.moments), (self.settings.batch, 1), device=self.moments.device)]
        paths = self.points[now + self.back]
        told = self.network(paths + self.settings.noise * torch.randn_like(paths), self.settings.unrolled)
        missed = told - self.points[now + self.ahead]
        return {"distance": (missed.square().sum(dim=2) + 1e-6).sqrt().mean()}


def _travel(library: Library, steps: int) -> Tensor:
    """How far the path goes in 1, 2, ... steps, root mean square; 1 where it stays."""
    moments = library.moments(before=0, after=steps)
    ways = library.points[moments[:, None] + np.arange(1, steps + 1)] - library.points[moments][:, None]
    far = np.sqrt(np.square(ways).sum(axis=2).mean(axis=0))
    return torch.from_numpy(np.where(far > 0, far, 1.0)).float()


@dataclass(frozen=True)
class _Walker:
    method: _Learned
    network: _Walk

    @property
    def history(self) -> int:
        return self.method.memory.reach + 1

    def rollout(self, histories: Reals, steps: int) -> Reals:
        with one_thread(), torch.inference_mode():
            return self.network(torch.from_numpy(histories[:, -self.history :]).float(), steps).double().numpy()


# --- The autoencoder's own


@dataclass(frozen=True, kw_only=True, eq=False)
class Branch:
    """The branch trained inside a song's autoencoder, rolled out by its shortest horizon.

    Its loss was an angle, so that it knows directions alone; each step is as long as the mean step of the nearest library points.
    """

    network: model.Branch
    look_back: int
    neighbours: int = 5

    def fit(self, library: Library) -> "_BranchWalker":
        moments = library.moments(before=0, after=1)
        dims = self.network.lstm.input_size
        if library.points.shape[1] != dims:
            raise ForecastError(
                f"the branch knows {dims} dimensions, the path has {library.points.shape[1]}; take the branch of its own run"
            )
        if len(moments) < self.neighbours:
            raise ForecastError(f"{len(moments)} library points are too few for {self.neighbours} neighbours; leave more of the song to it")
        ways = (library.points[moments + 1] - library.points[moments]) * library.span
        return _BranchWalker(self, library, cKDTree(library.points[moments]), np.linalg.norm(ways, axis=1))


def branch_of(network: model.Autoencoder) -> Branch:
    """The forecaster that a trained autoencoder carries."""
    if not network.settings.loss.forecast:
        raise ForecastError("the forecast branch of this run was not trained; choose a run of the preset conditioned")
    return Branch(network=network.branch, look_back=network.settings.model.history)


@dataclass(frozen=True)
class _BranchWalker:
    method: Branch
    library: Library
    tree: cKDTree
    lengths: Reals  # of the steps from the points in the tree, in the model's own coordinates

    @property
    def history(self) -> int:
        return self.method.look_back

    def rollout(self, histories: Reals, steps: int) -> Reals:
        paths = histories[:, -self.history :]
        readers = _Readers(self.method.network, len(paths), self.history)
        for past in np.swapaxes(self.library.unscaled(paths), 0, 1):
            readers.read(past)
        here, told = paths[:, -1], []
        for _ in range(steps):
            ways = readers.ahead()
            _, nearest = self.tree.query(here, range(1, self.method.neighbours + 1))
            stretch = self.lengths[nearest].sum(axis=1) / self.method.neighbours / np.maximum(np.sqrt((ways * ways).sum(axis=1)), 1e-12)
            here = np.clip(here + ways * stretch[:, None] / self.library.span, *BOUNDS)
            told.append(here)
            readers.read(self.library.unscaled(here))
        return np.stack(told, axis=1)


class _Readers:
    """As many readers of a path as the branch looks back on points, each begun one point after another: no window is read twice.

    In numpy, where so small a step takes a third of torch's time. Of an LSTM's gates (in, forget, cell, out) all but the cell's are
    sigmoids: 1 / (1 + exp(-x)) = tanh(x / 2) / 2 + 1 / 2.
    """

    def __init__(self, network: model.Branch, starts: int, history: int) -> None:
        inputs, hidden, *biases = (weight.detach().cpu().numpy() for weight in network.lstm.all_weights[0])
        units, dims = network.lstm.hidden_size, network.lstm.input_size
        halves = np.array([0.5, 0.5, 1, 0.5], np.float32).repeat(units)
        self.inputs, self.hidden, self.bias = inputs.T * halves, hidden.T * halves, (biases[0] + biases[1]) * halves
        self.head, self.head_bias = (weight.detach().cpu().numpy()[:dims] for weight in (network.head.weight, network.head.bias))
        self.state, self.cell = np.zeros((2, history, starts, units), np.float32)
        self.oldest = 0

    def read(self, points: Reals) -> None:
        """One more point of each path, (starts, dims): the oldest begin anew with it."""
        self.state[self.oldest] = self.cell[self.oldest] = 0
        bent = np.tanh(self.state @ self.hidden + (points.astype(np.float32) @ self.inputs + self.bias))
        bent = bent.reshape(*self.state.shape[:2], 4, -1)
        gates = bent * np.float32(0.5) + np.float32(0.5)
        self.cell = gates[:, :, 1] * self.cell + gates[:, :, 0] * bent[:, :, 2]
        self.state = gates[:, :, 3] * np.tanh(self.cell)
        self.oldest = (self.oldest + 1) % len(self.state)

    def ahead(self) -> Reals:
        """Where the oldest, who have read just so many points, say that the paths go next: (starts, dims), of any length."""
        return (self.state[self.oldest] @ self.head.T + self.head_bias).astype(np.float64)


METHODS: Mapping[str, Method] = MappingProxyType({"mlp": Mlp(), "lstm": Lstm(), "causal": Causal()})
