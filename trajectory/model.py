"""The network of one song (encoder, decoder, forecast branch), its losses as pure functions with names, and embed(). Trains nothing."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trajectory.records import Floats, Spectrogram, Trajectory
from trajectory.settings import ModelSettings, Settings
from trajectory.spectrogram import window_bins, window_times

CHUNK = 8_192  # bins embedded at once outside of training
WIDTH = 3  # of every convolution over time
LEAST_DEVIATION = 1e-4  # a frequency that never sounds stays at 0 when standardised


class Encoder(nn.Module):
    """One convolution over the whole song: stride-1 pooling and growing dilation give every window the point it has when cut out."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, frequencies: int, window: int, outputs: int, filters: tuple[int, ...]) -> None:
        super().__init__()
        self.window = window
        stages, taps = encoder_stages(window, filters)
        channels = (frequencies, *filters[:stages])
        self.stages = nn.ModuleList(
            nn.Conv2d(channels[i], channels[i + 1], (1, WIDTH), dilation=(1, 2**i)) for i in range(stages)
        )  # 2-D with a height of 1: only these run in the channels-last layout, three times faster on a CPU
        self.point = nn.Conv2d(channels[-1], outputs, (1, taps), dilation=(1, 2**stages))
        self.register_buffer("mean", torch.zeros(frequencies))
        self.register_buffer("deviation", torch.ones(frequencies))
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.startswith("stages"):
                nn.init.kaiming_normal_(parameter)
            else:
                nn.init.xavier_normal_(parameter)
            parameter.data = parameter.data.to(memory_format=torch.channels_last) if parameter.ndim == 4 else parameter.data

    def forward(self, bins: Tensor) -> Tensor:
        """(bins, frequencies) -> (bins - window + 1, outputs)."""
        x = ((bins - self.mean) / self.deviation).T[None, :, None]
        for i, stage in enumerate(self.stages):
            x = F.max_pool2d(F.relu(stage(x)), (1, 2), stride=1, dilation=(1, 2**i))
        return self.point(x)[0, :, 0, : len(bins) - self.window + 1].T


class DoublingConv(nn.Module):
    """Nearest upsampling by 2 and a convolution of width 3, done as two 2-tap convolutions at half the length, ReLU and batch norm."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(outputs, inputs, WIDTH)))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(steps, batch, inputs) -> (2 * steps, batch, outputs)."""
        steps, batch, inputs = x.shape
        nothing = x.new_zeros(1, batch, inputs)
        pairs = torch.cat([torch.cat([nothing, x]), torch.cat([x, nothing])], 2)  # each step beside the one before
        before, here, after = self.weight.unbind(2)
        even = F.linear(pairs[:-1], torch.cat([before, here + after], 1), self.bias)
        odd = F.linear(pairs[1:], torch.cat([before + here, after], 1), self.bias)
        doubled = torch.stack([even, odd], 1).view(2 * steps * batch, -1)
        return self.norm(F.relu(doubled)).view(2 * steps, batch, -1)


class Decoder(nn.Module):
    """A point -> its window, at half the time resolution: nearest upsampling commutes with the last, pointwise convolution."""

    counts: Tensor
    offsets: Tensor

    def __init__(self, frequencies: int, window: int, settings: ModelSettings) -> None:
        super().__init__()
        self.window = window
        self.steps = math.ceil(window / 8)
        self.crop, self.odd = divmod((self.steps * 8 - window) // 2, 2)
        self.seed = nn.Linear(settings.dims, self.steps * settings.decoder_seeds)
        self.doublings = nn.Sequential(
            DoublingConv(settings.decoder_seeds, settings.decoder_filters), DoublingConv(settings.decoder_filters, settings.decoder_filters)
        )
        self.frequencies = nn.Linear(settings.decoder_filters, frequencies)
        nn.init.kaiming_normal_(self.seed.weight)
        nn.init.zeros_(self.seed.bias)
        nn.init.normal_(self.frequencies.weight, 0, 0.02)
        counts = torch.full((self.steps * 4 - 2 * self.crop, 1, 1), 2.0)  # bins that each half-rate step stands for
        if self.odd:
            counts[0] = counts[-1] = 1
        self.register_buffer("counts", counts, persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """(batch, dims) -> logits (half-rate steps, batch, frequencies): steps come first so that a neighbour is a slice, not a copy."""
        x = F.relu(self.seed(points)).view(len(points), self.steps, -1).transpose(0, 1)
        x = self.doublings(x)[self.crop : self.steps * 4 - self.crop]
        return self.frequencies(x)

    def windows(self, points: Tensor) -> Tensor:
        """(batch, dims) -> (batch, window, frequencies), in [0, 1]."""
        whole = torch.sigmoid(self(points)).transpose(0, 1).repeat_interleave(2, dim=1)
        return whole[:, self.odd : self.odd + self.window]

    def half_rate(self, bins: Tensor) -> Tensor:
        """A table of `bins` (bins, frequencies) from which `targets` takes what the logits are compared with."""
        return torch.cat([bins[:-1] + bins[1:], bins])

    def targets(self, table: Tensor, starts: Tensor) -> Tensor:
        """For windows at `starts`: the sum of the bins that each half-rate step stands for, (half-rate steps, batch, frequencies)."""
        length = (len(table) + 1) // 2
        steps = torch.arange(len(self.counts), device=table.device) * 2 - self.odd
        if self.odd:
            steps[0], steps[-1] = length - 1, length - 1 + self.window - 1
        return table[starts + steps[:, None]]


class Branch(nn.Module):
    """The forecast branch: the last points of the path -> the displacements to come, one for each horizon."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.horizons = len(settings.horizons)
        self.lstm = nn.LSTM(settings.dims, settings.branch_units, batch_first=True)
        self.head = nn.Linear(settings.branch_units, settings.dims * self.horizons)

    def forward(self, histories: Tensor) -> Tensor:
        """(batch, history, dims) -> (batch, horizons, dims)."""
        last = self.lstm(histories)[0][:, -1]
        displacements: Tensor = self.head(last)
        return displacements.view(len(histories), self.horizons, -1)


class Autoencoder(nn.Module):
    """Encoder, decoder and branch of one song. Points go through `points`; a variational encoder also gives their spread."""

    def __init__(self, settings: Settings, *, frequencies: int, bin_seconds: float) -> None:
        super().__init__()
        self.settings = settings
        self.window = window_bins(settings.window, bin_seconds)
        self.variational = settings.loss.kl > 0
        dims = settings.model.dims
        self.encoder = Encoder(frequencies, self.window, dims * (2 if self.variational else 1), settings.model.filters)
        self.decoder = Decoder(frequencies, self.window, settings.model)
        self.branch = Branch(settings.model)

    def fit_scale(self, bins: Tensor) -> None:
        """Standardises the inputs by frequency and starts the output at the mean spectrum: without it, small inputs sit on a plateau."""
        mean, deviation = bins.mean(0), bins.std(0)
        self.encoder.mean.copy_(mean)
        self.encoder.deviation.copy_(deviation + LEAST_DEVIATION)
        with torch.no_grad():
            self.decoder.frequencies.bias.copy_(torch.logit(mean.clamp(1e-5, 1 - 1e-5)))

    def points(self, bins: Tensor) -> Tensor:
        """(bins, frequencies) -> the point of every window, (windows, dims)."""
        return self.encoder(bins)[:, : self.settings.model.dims]

    def all_points(self, bins: Tensor, *, chunk: int = CHUNK) -> Tensor:
        """The same, `chunk` bins at a time, so that memory stays flat however long the song is."""
        overlap = self.window - 1
        return torch.cat([self.points(bins[i : i + chunk + overlap]) for i in range(0, len(bins) - overlap, chunk)])


def encoder_stages(window: int, filters: tuple[int, ...]) -> tuple[int, int]:
    """How many stages fit a window of so many bins, and how many steps of it remain after them."""
    stages, steps = 0, window
    while stages < len(filters) and (steps - WIDTH + 1) // 2 >= 1:
        steps = (steps - WIDTH + 1) // 2
        stages += 1
    return stages, steps


@torch.no_grad()
def embed(network: Autoencoder, spectrogram: Spectrogram, *, chunk: int = CHUNK) -> Trajectory:
    """The point of every window."""
    bins = torch.from_numpy(spectrogram.values).to(network.encoder.mean.device)
    return Trajectory(
        points=network.all_points(bins, chunk=chunk).cpu().contiguous().numpy(), times=window_times(spectrogram, network.window)
    )


@torch.no_grad()
def decode(network: Autoencoder, points: Floats) -> Floats:
    """The spectrogram window, (points, bins, frequencies), that each point of space means."""
    network.eval()
    return network.decoder.windows(torch.from_numpy(np.asarray(points, dtype=np.float32)).to(network.encoder.mean.device)).cpu().numpy()


@torch.no_grad()
def reconstruction_of(network: Autoencoder, bins: Tensor, *, batch: int = 1024) -> tuple[float, float]:
    """R of every window of `bins`, and R of their mean spectrum alone."""
    network.eval()
    points = network.all_points(bins)
    table = network.decoder.half_rate(bins)
    mean_logits = torch.logit(bins.mean(0).clamp(1e-6, 1 - 1e-6)).expand(len(network.decoder.counts), 1, -1)
    total = torch.zeros(2, dtype=torch.float64)
    for starts in torch.arange(len(points), device=bins.device).split(batch):
        targets = network.decoder.targets(table, starts)
        for i, logits in enumerate((network.decoder(points[starts]), mean_logits)):
            total[i] += len(starts) * float(reconstruction_loss(logits, targets, network.decoder.counts))
    model, mean = (total / len(points)).tolist()
    return model, mean


def reconstruction_loss(logits: Tensor, targets: Tensor, counts: Tensor) -> Tensor:
    """R, binary cross-entropy a bin and frequency: `targets` hold the sum of the `counts` bins that each logit stands for."""
    values = counts.sum() * targets.shape[1] * targets.shape[2]
    return (F.softplus(logits) * counts - logits * targets).sum() / values


def forecast_loss(guess: Tensor, truth: Tensor) -> Tensor:
    """F = 1 - cos(v, v_hat), over displacements (batch, horizons, dims)."""
    return 1 - F.cosine_similarity(guess, truth, dim=-1).mean()


def curvature_loss(points: Tensor) -> Tensor:
    """C = -cos(v_i, v_i+1) along the path."""
    directions = F.normalize(points.diff(dim=0), dim=-1)
    return -(directions[1:] * directions[:-1]).sum(-1).mean()


def off_centre_loss(points: Tensor) -> Tensor:
    """O = |z|^2."""
    return points.square().sum(-1).mean()


def kl_loss(mean: Tensor, log_variance: Tensor) -> Tensor:
    """How far each point's spread is from the unit normal."""
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1).mean()
