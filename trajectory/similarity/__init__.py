"""Songs among songs: vectors in, the nearest ones, groups, maps and agreements out. Knows no sound, no encoder and no library.

A vector's id is a song's, or for a moment `moment_id(song, seconds)`. FAISS and UMAP are used where they are installed.
"""

from .clustering import Clusters, clusters
from .index import Index, Space
from .maps import Plane, plane
from .matches import APART_SECONDS, Match, Moment, moment_at, moment_id, moments, nearest, neighbours
from .own import VectorLimits, read_vectors
from .pairs import Agreement, Stretch, agreement
from .vectors import SimilarityError

__all__ = [
    "APART_SECONDS",
    "Agreement",
    "Clusters",
    "Index",
    "Match",
    "Moment",
    "Plane",
    "SimilarityError",
    "Space",
    "Stretch",
    "VectorLimits",
    "agreement",
    "clusters",
    "moment_at",
    "moment_id",
    "moments",
    "nearest",
    "neighbours",
    "plane",
    "read_vectors",
]
