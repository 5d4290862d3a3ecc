"""musicnn (Pons and Serra, 2019): a network trained to tag music, with its published weights. Sound -> 200 values a second, and tags.

Front: filters as wide as an instrument's timbre and as long as a rhythm, over a log-mel spectrogram. Middle: three convolutions
over time, each seeing the one before. Back: the highest and the mean of every channel over 3 s, a dense layer, the tags.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from torchaudio.functional import melscale_fbanks

from trajectory.encoders import EncoderError, Report, at_rate, stamp
from trajectory.records import Floats, Recording, Trajectory
from trajectory.training import one_thread

WEIGHTS = Path(__file__).parents[2] / "assets" / "musicnn" / "musicnn.safetensors"
CODE = 1  # counts changes of what is done with the weights

SAMPLE_RATE = 16_000  # Hz; this and the next three are what the weights were trained on
WINDOW = 512  # samples of one spectrum
HOP = 256  # samples from one to the next
BANDS = 96  # mel, 0 to 8 kHz
PATCH = 187  # spectra that the network hears at once: 3 s
STEP = 62  # spectra from patch to patch: 0.99 s, so that each moment is heard three times
PATCHES_AT_ONCE = 32  # bounds the memory, however long the song
SHORTEST = (PATCH * HOP) / SAMPLE_RATE  # seconds
FILTERS = 64  # of each middle layer
DENSE = 200
EPSILON = 1e-3  # of the batch norms


@dataclass(frozen=True, kw_only=True, eq=False)
class Musicnn:
    """The encoder: a frame is what the last layer but one makes of 3 s."""

    network: "Network"
    names: tuple[str, ...]  # of the tags
    version: str
    name: str = "musicnn"
    dims: int = DENSE
    step: int = STEP  # spectra from frame to frame

    def frames(self, recording: Recording, *, report: Report | None = None) -> Trajectory:
        samples = at_rate(recording, SAMPLE_RATE)
        spectra = 1 + len(samples) // HOP
        if spectra <= PATCH:
            raise EncoderError(f"{recording.name} lasts {recording.seconds:.3g} s; musicnn needs {SHORTEST:.0f} s")
        step = min(self.step, spectra - PATCH)  # a song of barely 3 s gives two frames all the same
        firsts = range(0, spectra - PATCH + 1, step)
        found: list[Floats] = []
        with one_thread(), torch.inference_mode():
            for at in range(0, len(firsts), PATCHES_AT_ONCE):
                batch = firsts[at : at + PATCHES_AT_ONCE]
                found.append(self.network(log_mel(samples, batch[0], batch[-1] + PATCH), step).numpy())
                if report is not None:
                    report((at + len(batch)) / len(firsts))
        centres = (np.array(firsts) + (PATCH - 1) / 2) * HOP / SAMPLE_RATE
        return Trajectory(points=np.concatenate(found), times=recording.start + centres)

    def finer(self) -> "Musicnn":
        """One that hears four times as often: for a path to look at."""
        return replace(self, step=self.step // 4)

    def tags(self, recording: Recording) -> list[tuple[str, float]]:
        """How likely each tag is over the whole song, the likeliest first."""
        return self.tags_of(self.frames(recording))

    def tags_of(self, frames: Trajectory) -> list[tuple[str, float]]:
        """The same for frames that are at hand."""
        with torch.inference_mode():
            likelihoods = self.network.tags(torch.from_numpy(frames.points)).sigmoid().mean(dim=0).tolist()
        return sorted(zip(self.names, likelihoods, strict=True), key=lambda tag: -tag[1])


def opened() -> Musicnn:
    """The network with the weights that the project brings along."""
    try:
        with safe_open(WEIGHTS, "pt") as file:
            names = json.loads(file.metadata()["about"])["tags"]
            with torch.random.fork_rng(devices=[]):  # the weights are drawn before they are replaced
                network = Network(tags=len(names))
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - it is no dict
        return Musicnn(network=network.eval(), names=tuple(names), version=stamp([WEIGHTS], CODE))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise EncoderError(f"musicnn's weights cannot be read ({str(error)[:120]}); get {WEIGHTS.name} again") from error


def log_mel(samples: Floats, first: int, last: int) -> Tensor:
    """The spectra first .. last - 1 of a song as log10(10000 x + 1) of their mel bands' power: (last - first, BANDS)."""
    start, stop = first * HOP - WINDOW // 2, (last - 1) * HOP + WINDOW // 2  # a spectrum's time is its middle
    part = np.pad(samples[max(start, 0) : stop], (max(-start, 0), max(stop - len(samples), 0)))
    waves = torch.stft(torch.from_numpy(part), WINDOW, HOP, window=torch.hann_window(WINDOW), center=False, return_complex=True)
    mel = melscale_fbanks(WINDOW // 2 + 1, 0.0, SAMPLE_RATE / 2, BANDS, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
    return torch.log10(10_000 * (waves.abs().square().T @ mel) + 1)


class Network(nn.Module):
    """The published architecture."""

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.level = nn.BatchNorm2d(1, eps=EPSILON)
        self.timbral = nn.ModuleList(Front(204, spectra=7, bands=bands) for bands in (38, 67))
        self.temporal = nn.ModuleList(Front(51, spectra=spectra, bands=1) for spectra in (128, 64, 32))
        channels = 2 * 204 + 3 * 51
        self.middle = nn.ModuleList(Middle(width) for width in (channels, FILTERS, FILTERS))
        self.pooled_norm = nn.BatchNorm1d(2 * (channels + 3 * FILTERS), eps=EPSILON)
        self.dense = nn.Linear(2 * (channels + 3 * FILTERS), DENSE)
        self.dense_norm = nn.BatchNorm1d(DENSE, eps=EPSILON)
        self.tags = nn.Linear(DENSE, tags)

    def forward(self, spectra: Tensor, step: int) -> Tensor:
        """(spectra, BANDS) -> (patches, DENSE), a patch every `step` spectra."""
        sound = self.level(spectra[None, None])[0, 0]
        patches = sound.unfold(0, PATCH, step).transpose(1, 2)  # (patches, PATCH, BANDS)
        fronts = [*self.timbral, *self.temporal]
        layers = [torch.cat([_shared(front, sound, patches, step) for front in fronts], dim=1)]
        first, second, third = self.middle
        layers.append(first(layers[0]))
        layers.append(second(layers[1]) + layers[1])
        layers.append(third(layers[2]) + layers[2])
        channels = torch.cat(layers, dim=1)  # (patches, channels, PATCH)
        pooled = torch.stack([channels.amax(dim=2), channels.mean(dim=2)], dim=2).flatten(1)
        return self.dense_norm(F.relu(self.dense(self.pooled_norm(pooled))))


class Front(nn.Module):
    """Filters over the spectrogram, of each the strongest answer over all frequencies.

    As products of matrices: five times as fast as a convolution that has a single channel to go over.
    """

    def __init__(self, filters: int, *, spectra: int, bands: int) -> None:
        super().__init__()
        self.spectra, self.bands = spectra, bands
        self.weight = nn.Parameter(torch.empty(filters, spectra * bands))
        self.bias = nn.Parameter(torch.empty(filters))
        self.norm = nn.BatchNorm1d(filters, eps=EPSILON)

    def forward(self, sound: Tensor) -> Tensor:
        """(n, spectra, BANDS) -> (n, filters, fewer spectra)."""
        rising = torch.where(self.norm.weight > 0, 1.0, -1.0)  # the norm precedes the maximum: where it falls that is the minimum
        strongest = torch.stack([self._strongest(rising[:, None] * self.weight, each) for each in sound])  # (n, fewer spectra, filters)
        return self.norm(F.relu(rising * strongest + self.bias).transpose(1, 2))

    def _strongest(self, filters: Tensor, sound: Tensor) -> Tensor:
        places = sound.unfold(1, self.bands, 1).transpose(1, 2).contiguous()  # (spectra, bands, places on the frequency axis)
        windows = places.unfold(0, self.spectra, 1).permute(0, 3, 1, 2).flatten(1, 2)  # a view, since what overlaps lies in a row
        return torch.bmm(filters.expand(len(windows), -1, -1), windows).amax(dim=2)


class Middle(nn.Module):
    """A convolution over time of the same length."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.filter = nn.Conv1d(width, FILTERS, 7, padding=3)
        self.norm = nn.BatchNorm1d(FILTERS, eps=EPSILON)

    def forward(self, channels: Tensor) -> Tensor:
        return self.norm(F.relu(self.filter(channels)))


def _shared(front: Front, sound: Tensor, patches: Tensor, step: int) -> Tensor:
    """A front's answers in every patch; what patches have in common is heard once, only their edges, with silence beyond, on their own."""
    left, right = (front.spectra - 1) // 2, front.spectra // 2
    inside = front(sound[None])[0].unfold(1, PATCH - left - right, step).transpose(0, 1)
    before = front(F.pad(patches[:, : left + right], (0, 0, left, 0)))
    after = front(F.pad(patches[:, -left - right :], (0, 0, 0, right)))
    return torch.cat([before, inside, after], dim=2)
