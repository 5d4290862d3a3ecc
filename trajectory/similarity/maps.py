"""Where each song lies on a map of all."""

import importlib
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectory.geometry import principal_coordinates
from trajectory.records import Floats

from .vectors import SimilarityError, checked

Reals = NDArray[np.float64]
Plane = Literal["pca", "tsne", "umap"]

MOST_SONGS = {"tsne": 5_000, "umap": 50_000}
PERPLEXITY = 30.0  # neighbours that t-SNE keeps near each song
NEIGHBOURS = 15  # the same, of UMAP


def plane(vectors: ArrayLike, how: Plane = "pca", dims: Literal[2, 3] = 2) -> Floats:
    """Where each vector lies on a map, (n, dims): the same vectors always give the same map."""
    if how not in get_args(Plane) or dims not in (2, 3):
        raise SimilarityError(f"there is no map {how!r:.20} of {dims!r:.20} dimensions; choose pca, tsne or umap, and 2 or 3")
    values = checked(vectors)
    if len(values) > MOST_SONGS.get(how, len(values)):
        raise SimilarityError(f"{how} of {len(values)} songs takes too long; {MOST_SONGS[how]} are the most, and pca takes any number")
    flat = _principal(values.astype(np.float64), dims)
    if len(values) <= dims + 1 or not flat.any():  # their distances are all there is to show
        return flat.astype(np.float32)
    start = (flat / flat.std(axis=0).max()).astype(np.float32)
    return np.asarray(_tsne(values, start) if how == "tsne" else _umap(values, start) if how == "umap" else flat, dtype=np.float32)


def _principal(points: Reals, dims: int) -> Reals:
    """The widest axes; of few long vectors in the space that they span, which is small."""
    if len(points) == 0:
        return np.zeros((0, dims))
    if len(points) < points.shape[1]:
        points = np.asarray(np.linalg.qr(points.T, mode="r")).T
    found = principal_coordinates(points)[:, :dims]
    return np.pad(found, ((0, 0), (0, dims - found.shape[1])))


def _tsne(vectors: Floats, start: Floats) -> Any:
    from sklearn.manifold import TSNE  # takes a second, which a page without a map need not wait
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    with threadpool_limits(1):  # the order in which threads add up would change the map
        return TSNE(start.shape[1], perplexity=perplexity, init=1e-4 * start, random_state=0).fit_transform(vectors)


def _umap(vectors: Floats, start: Floats) -> Any:
    try:
        umap = importlib.import_module("umap")
    except ImportError as error:
        raise SimilarityError("UMAP is not installed; run `pip install umap-learn`, or choose pca or tsne") from error
    near = min(NEIGHBOURS, len(vectors) - 1)
    reducer = umap.UMAP(n_components=start.shape[1], n_neighbors=near, init=10 * start, random_state=0, n_jobs=1)
    return reducer.fit_transform(vectors)
