"""Whether songs fall into clusters, and how far that can be believed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from trajectory.settings import Likeness

from .vectors import Rows, checked, sample, unit

Reals = NDArray[np.float64]

FEWEST = 6  # songs: fewer fall into clusters by chance too often to tell
MOST_CLUSTERS = 12
JUDGED = 500  # songs on which the number of clusters is chosen; the others join the nearest one
NOISES = 19  # random clouds of a kind that the songs must beat: chance does so once in 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """Which songs belong together, and how far that can be believed."""

    labels: Rows  # (songs,) from 0, the largest first; all 0 where there are no clusters to speak of
    count: int
    score: float  # the mean silhouette of the best division: 1 far apart, 0 no clusters
    chance: float  # the best that noise of the same size and spread reached
    says: str

    @classmethod
    def unknown(cls, songs: int) -> Self:
        """Before anybody has looked."""
        return cls(labels=np.zeros(songs, np.int64), count=1, score=0.0, chance=0.0, says="the clusters are not known yet")


def clusters(vectors: ArrayLike, *, likeness: Likeness = "cosine") -> Clusters:
    """Divides by Ward's tree where the silhouette is best, and believes it where noise without clusters does not get as far."""
    values = checked(vectors)
    points = (unit(values) if likeness == "cosine" else values).astype(np.float64)
    if len(points) < FEWEST:
        few = f"{len(points)} song{' is' if len(points) == 1 else 's are'} too few to tell clusters; at least {FEWEST} are needed"
        return _one_cluster(len(points), few)
    judged = points[sample(len(points), JUDGED)]
    if np.ptp(judged, axis=0).max() < 1e-6 * max(1e-30, float(np.abs(judged).max())):
        return _one_cluster(len(points), f"the {len(points)} songs are all alike: there are no clusters to speak of")
    score, labels = _best_division(judged)
    chance = max(_best_division(noise)[0] for noise in _without_clusters(judged, likeness))
    count = int(labels.max()) + 1
    against = f"{score:.2f} of 1, and noise of the same size and spread up to {chance:.2f}"
    if score <= chance:
        says = f"no clusters to speak of: the best division, into {count}, scores {against}"
        return _one_cluster(len(points), says, score=score, chance=chance)
    centres = np.stack([judged[labels == label].mean(axis=0) for label in range(count)])
    everyone = labels if len(judged) == len(points) else _squares(points, centres).argmin(axis=1)
    return Clusters(
        labels=_largest_first(everyone), count=count, score=score, chance=chance, says=f"{count} clusters: the division scores {against}"
    )


def _one_cluster(songs: int, says: str, *, score: float = 0.0, chance: float = 0.0) -> Clusters:
    return Clusters(labels=np.zeros(songs, np.int64), count=1, score=score, chance=chance, says=says)


def _best_division(points: Reals) -> tuple[float, Rows]:
    """The silhouette and labels of the number of clusters that has the best one."""
    distances = np.sqrt(_squares(points, points))
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0)
    tree = hierarchy.ward(squareform(distances, checks=False))
    best: tuple[float, Rows] = (-1.0, np.zeros(len(points), np.int64))
    for count in range(2, min(MOST_CLUSTERS, len(points) // 2) + 1):
        labels = np.unique(hierarchy.fcluster(tree, count, "maxclust"), return_inverse=True)[1]
        score = silhouette(distances, labels)
        best = max(best, (score, labels), key=lambda pair: pair[0])
    return best


def silhouette(distances: Reals, labels: Rows) -> float:
    """mean_i (b_i - a_i) / max(a_i, b_i): a the mean distance to one's own cluster, b to the nearest other; 0 for one alone."""
    member = np.eye(int(labels.max()) + 1)[labels]
    sizes = member.sum(axis=0)
    if len(sizes) < 2:
        return 0.0
    sums = distances @ member
    own = (sums * member).sum(axis=1) / np.maximum(sizes[labels] - 1, 1)
    other = np.where(member > 0, np.inf, sums / sizes).min(axis=1)
    larger = np.maximum(own, other)
    values = np.divide(other - own, larger, out=np.zeros_like(own), where=(larger > 0) & (sizes[labels] > 1))
    return float(values.mean())


def _without_clusters(points: Reals, likeness: Likeness) -> Iterator[Reals]:
    """As many points of one cloud, round or with flat sides, as wide along every axis as the songs are; again and again."""
    middle, random = points.mean(axis=0), np.random.default_rng(0)
    _, spreads, axes = np.linalg.svd(points - middle, full_matrices=False)
    widths, size = spreads / np.sqrt(len(points)), (len(points), len(spreads))
    for _ in range(NOISES):
        for cloud in (random.normal(size=size), random.uniform(-np.sqrt(3), np.sqrt(3), size=size)):
            noise = middle + (cloud * widths) @ axes
            yield unit(noise.astype(np.float32)).astype(np.float64) if likeness == "cosine" else noise


def _squares(points: Reals, others: Reals) -> Reals:
    """|a - b|^2 of every pair; what came from float32 leaves room enough for the rounding."""
    return np.maximum((points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * points @ others.T, 0)


def _largest_first(labels: Rows) -> Rows:
    return np.argsort(np.argsort(-np.bincount(labels), kind="stable"), kind="stable")[labels]
