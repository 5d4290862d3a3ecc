"""The schedule of 2021, written down plainly to be measured against: every sample is 45 windows, each cut out and encoded from scratch."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trajectory.records import Spectrogram
from trajectory.spectrogram import windows

WINDOW, HISTORY, BATCH, EPOCHS, RATE = 22, 45, 8, 6, 1e-3


class PublishedAutoencoder(nn.Module):
    """The half-second network: 'same' padding, pooling by 2 after each of three convolutions, its mirror image, and the branch."""

    def __init__(self, frequencies: int, dims: int = 3) -> None:
        super().__init__()
        stages = [
            layer
            for a, b in ((frequencies, 32), (32, 64), (64, 128))
            for layer in (nn.Conv1d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2))
        ]
        self.encoder = nn.Sequential(*stages, nn.Flatten(), nn.Linear(128 * (WINDOW // 8), dims))
        self.seed = nn.Linear(dims, 64 * 3)
        self.decoder = nn.Sequential(
            *(
                layer
                for a in (64, 128)
                for layer in (nn.Upsample(scale_factor=2), nn.Conv1d(a, 128, 3, padding=1), nn.ReLU(), nn.BatchNorm1d(128))
            ),
            nn.Upsample(scale_factor=2),
            nn.Conv1d(128, frequencies, 1),
            nn.Sigmoid(),
        )
        self.lstm = nn.LSTM(dims, 16, batch_first=True)
        self.head = nn.Linear(16, dims)

    def decode(self, points: Tensor) -> Tensor:
        whole: Tensor = self.decoder(self.seed(points).relu().view(-1, 64, 3))
        return whole[:, :, 1:-1]


def train_published(spectrogram: Spectrogram, *, alpha: float, seed: int = 0) -> float:
    """Trains for the published six epochs and returns R over every window; `alpha` 0 is the pure autoencoder."""
    torch.manual_seed(seed)
    cut = torch.from_numpy(np.ascontiguousarray(windows(spectrogram, WINDOW).swapaxes(1, 2)))
    network = PublishedAutoencoder(cut.shape[1])
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for starts in (torch.randperm(len(cut) - HISTORY + 1)).split(BATCH):
            samples = cut[starts[:, None] + torch.arange(HISTORY)]  # (batch, 45, frequencies, bins)
            points = network.encoder(samples.flatten(0, 1)).view(len(starts), HISTORY, -1)
            loss = F.binary_cross_entropy(network.decode(points[:, -1]), samples[:, -1])
            if alpha:
                guess = network.head(network.lstm(points[:, :-1])[0][:, -1])
                loss = loss + alpha * (1 - F.cosine_similarity(guess, points[:, -1] - points[:, -2]).mean())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()
    with torch.no_grad():
        return float(F.binary_cross_entropy(network.decode(network.encoder(cut)), cut))
