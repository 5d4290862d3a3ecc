"""What a path is made of: its period, its sections and its lobes; and all that is said of its shape, in one record."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage
from scipy.cluster import hierarchy
from scipy.spatial import KDTree
from scipy.spatial.distance import pdist, squareform

from trajectory.geometry import Reals, mean_turn_cosine, path_length, radius, reals, recurrence, stride_for
from trajectory.records import Trajectory
from trajectory.rhythm import Beat

Labels = NDArray[np.int64]

SHORTEST_PERIOD = 1.25  # seconds, four beats at 192 a minute: what repeats sooner is a beat, and its windows share sound
LONGEST_PERIOD = 30.0  # seconds: what repeats later is form, which sections tell
PERIOD_BLUR = 0.05  # seconds: bins do not fall alike in each round
LEAST_RECURRENCE = 0.6  # paths that never repeat reach about 0.35 by chance
SECTION_BLUR = 2.0  # seconds over which a place's surroundings are gathered
SECTION_CONTRAST = 0.5  # 0: two sections share their region, 1: they never meet
SHORTEST_SECTION = 4.0  # seconds
LEAST_LOBE = 0.1  # share of the points
LEAST_GAP = 0.25  # a gap this much sparser than either side divides two lobes
SHORTEST_VISIT = 1.0  # seconds


# --- Period


@dataclass(frozen=True, kw_only=True)
class Period:
    """The lag after which the path comes back to where it was."""

    seconds: float
    strength: float  # 1: it comes back exactly, 0: as near as any two points are


def period(trajectory: Trajectory) -> Period | None:
    """The strongest recurrence, of the whole path or inside its sections; None where nothing repeats."""
    step = trajectory.step_seconds
    calm = ndimage.gaussian_filter1d(reals(trajectory.points), PERIOD_BLUR / step, axis=0, mode="nearest")
    whole, inside = (_strongest(recurrence_by_lag(calm, labels), step) for labels in (None, _section_labels(trajectory)))
    best = max(whole, inside, key=lambda found: found.strength)
    return best if best.strength >= LEAST_RECURRENCE else None


def _strongest(strengths: Reals, step: float) -> Period:
    """The highest peak, or the smallest of its divisors that ties with it."""
    tops = [_vertex(strengths, peak) for peak in _peaks(strengths[: int(LONGEST_PERIOD / step) + 2])]
    found = [Period(seconds=lag * step, strength=strength) for lag, strength in tops if lag * step >= SHORTEST_PERIOD]
    best = max(found, key=lambda peak: peak.strength, default=Period(seconds=0.0, strength=0.0))
    tie = best.strength - min(0.03, (1 - best.strength) / 2)  # an exact repeat ties only with others as exact
    return next((peak for peak in found if peak.strength >= tie and _divides(peak.seconds, best.seconds)), best)


def _divides(part: float, whole: float) -> bool:
    return part <= whole and abs(whole / part / round(whole / part) - 1) < 0.02


def recurrence_by_lag(points: ArrayLike, labels: Labels | None = None) -> Reals:
    """r(l) = 1 - sum |z_t - z_t+l|^2 / sum (|z_t|^2 + |z_t+l|^2) over the t where t and t+l share a label; 0 is chance, 1 an exact repeat.

    Each label's points are centred, so that the way from one section to another does not drown what repeats within. The lags
    end where fewer than two in three points have a partner: what came back only once may be chance.
    """
    values = _balanced(points)
    count = len(values)
    size = fft.next_fast_len(2 * count)
    products, energy, partners = np.zeros((3, count))
    for members in _one_hot(np.zeros(count, np.int64) if labels is None else labels).T:
        own = members[:, None] * (values - members @ values / members.sum())
        of_points, of_squares, of_members = (fft.rfft(part, size, axis=0) for part in (own, (own**2).sum(axis=1), members))
        products += 2 * fft.irfft((np.abs(of_points) ** 2).sum(axis=1), size)[:count]
        energy += 2 * fft.irfft((of_squares * of_members.conj()).real, size)[:count]
        partners += fft.irfft(np.abs(of_members) ** 2, size)[:count]
    lags = int(np.argmax(partners < count * 2 / 3))
    strengths: Reals = np.divide(products, energy, out=np.zeros(count), where=energy > 1e-9 * energy[0])
    return strengths[:lags]


def _peaks(values: Reals) -> list[int]:
    """Where a value stands at least 0.1 above the deeper of the ways to anything higher, or to the ends."""
    tops = np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:])) + 1
    return [int(top) for top in tops if values[top] - _saddle(values, int(top)) >= 0.1]


def _saddle(values: Reals, top: int) -> float:
    higher = np.flatnonzero(values > values[top])
    before, after = higher[higher < top].max(initial=0), higher[higher > top].min(initial=len(values))
    return float(max(values[before:top].min(), values[top + 1 : after].min()))


def _vertex(values: Reals, peak: int) -> tuple[float, float]:
    """The top of the parabola through a peak and its two neighbours: a bin is 2 % of a second."""
    before, at, after = values[peak - 1 : peak + 2]
    bend = before - 2 * at + after
    shift = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(peak + shift), float(min(at - 0.25 * (before - after) * shift, 1.0))


# --- Sections


@dataclass(frozen=True, kw_only=True)
class Section:
    """A stretch of the song in one region of the space; equal labels come back to the same region."""

    start: float  # seconds of the song
    stop: float
    label: str  # A, B, ... by first appearance


def sections(trajectory: Trajectory) -> list[Section]:
    """The song cut where its path moves on to another region."""
    labels, times = _section_labels(trajectory), trajectory.times
    return [
        Section(
            start=float(times[max(first - 1, 0) : first + 1].mean()),
            stop=float(times[last - 1 : last + 1].mean()),
            label=_letters(int(labels[first])),
        )
        for first, last in _runs(labels)
    ]


def _section_labels(trajectory: Trajectory) -> Labels:
    """Moments belong together where their surroundings (all places of the path over some seconds) overlap: a label for each point."""
    stride = stride_for(len(trajectory.points), 600)
    frames = Trajectory(points=_balanced(trajectory.points)[::stride].astype(np.float32), times=trajectory.times[::stride])
    frame_seconds = frames.step_seconds
    overlap = ndimage.gaussian_filter(recurrence(frames).graded(), SECTION_BLUR / frame_seconds, mode="reflect", truncate=2)
    norms = np.sqrt(np.diag(overlap))
    contrast = squareform(1 - overlap / np.outer(norms, norms), checks=False)
    labels = hierarchy.fcluster(hierarchy.linkage(np.maximum(contrast, 0), "average"), SECTION_CONTRAST, "distance") - 1
    labels = _by_appearance(_settled(_nearest_mean(overlap, labels), SHORTEST_SECTION / frame_seconds))
    return np.repeat(labels, stride)[: len(trajectory.points)]


def _nearest_mean(overlap: Reals, labels: Labels) -> Labels:
    """Each moment's label again, by |x - mean of label|^2 in the kernel's space: a border lies where two regions weigh the same."""
    members = _one_hot(labels)
    members /= members.sum(axis=0)
    towards = overlap @ members
    return np.asarray(np.argmin((members * towards).sum(axis=0) - 2 * towards, axis=1))


def _letters(index: int) -> str:
    """A to Z, then AA, AB, ..."""
    return (_letters(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)


# --- Lobes


@dataclass(frozen=True, kw_only=True, eq=False)
class Lobes:
    """The dense regions of a path, numbered from 0 by first visit."""

    count: int
    labels: Labels  # (points,) short visits smoothed away
    order: tuple[int, ...]  # visits one after the other
    separation: float  # how much sparser the clearest gap is than both its sides; 0: none, towards 1: empty


def lobes(trajectory: Trajectory) -> Lobes:
    """Regions of at least a tenth of the points that a sparse gap divides.

    Spacing at a point is the distance to its k-th neighbour (2 % of the points). Two regions meet at the spacing at which a
    chain of points joins them, gap = 1 - max(median spacing of either) / spacing where they meet. Only places count, no
    order and no scale, so that smooth and rough paths compare.
    """
    points = reals(trajectory.points)[:: stride_for(len(trajectory.points), 1_500)]
    distances = squareform(pdist(points))
    kth = max(1, len(points) // 50)
    spacing = np.partition(distances, kth, axis=1)[:, kth]
    reach = np.maximum(distances, np.maximum(spacing[:, None], spacing[None]))
    np.fill_diagonal(reach, 0)
    regions, separation = _divided(hierarchy.linkage(squareform(reach, checks=False), "single"), spacing)
    named = np.repeat(np.arange(len(regions)), [len(region) for region in regions])
    _, nearest = KDTree(points[np.concatenate(regions)]).query(trajectory.points)
    labels = _by_appearance(_settled(named[nearest], SHORTEST_VISIT / trajectory.step_seconds))
    order = tuple(int(labels[first]) for first, _ in _runs(labels))
    return Lobes(count=len(set(order)), labels=labels, order=order, separation=separation)


def _divided(tree: Reals, spacing: Reals) -> tuple[list[Labels], float]:
    """Walks the merging of points upwards; two large regions stay apart where the gap between them is clear."""
    least = max(2, round(LEAST_LOBE * len(spacing)))
    members: list[Labels] = [np.array([index]) for index in range(len(spacing))]
    regions: list[list[Labels]] = [[own] for own in members]
    separation = 0.0
    for left, right, meeting, _ in tree:
        a, b = int(left), int(right)
        gap = 0.0
        if min(len(members[a]), len(members[b])) >= least and meeting > 0:
            gap = 1 - max(float(np.median(spacing[members[a]])), float(np.median(spacing[members[b]]))) / float(meeting)
            separation = max(separation, gap)
        both = np.concatenate([members[a], members[b]])
        richer = max(regions[a], regions[b], key=len)
        regions.append(regions[a] + regions[b] if gap >= LEAST_GAP else richer if len(richer) > 1 else [both])
        members.append(both)
        members[a] = members[b] = both[:0]
    return regions[-1], separation


# --- All of it


def _says(meaning: str) -> Any:
    return field(metadata={"says": meaning})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A trajectory in numbers; each field's metadata says in one line what it means."""

    turn_cosine: float | None = _says("how straight the path runs from step to step: 1 straight on, 0 at random, -1 back and forth")
    path_length: float = _says("the length of the whole path, in the units of its space")
    radius: float = _says("the typical distance from the path's centre, in the same units")
    period_seconds: float | None = _says("the time after which the path comes back to itself; none where nothing repeats")
    period_strength: float | None = _says("how exactly it comes back: 1 exactly, 0 no nearer than chance")
    beat_bpm: float | None = _says("beats a minute; none where there is no pulse")
    beat_confidence: float | None = _says("how steady the pulse is: 1 a metronome, 0 none")
    beat_first: float | None = _says("when the first beat falls, in seconds of the song")
    sections: tuple[Section, ...] = _says("stretches of the song; equal letters return to the same region")
    lobe_count: int = _says("how many dense regions the path has")
    lobe_order: tuple[int, ...] = _says("the regions in the order in which they are visited")
    lobe_separation: float = _says("how empty the clearest gap between regions is: 0 no gap, 1 empty")


def shape(trajectory: Trajectory, pulse: Beat | None) -> Shape:
    """Every number about a song's path; its beat was heard in its sound."""
    repeat, dense = period(trajectory), lobes(trajectory)
    return Shape(
        turn_cosine=mean_turn_cosine(trajectory.points),
        path_length=path_length(trajectory.points),
        radius=radius(trajectory.points),
        period_seconds=repeat.seconds if repeat else None,
        period_strength=repeat.strength if repeat else None,
        beat_bpm=pulse.bpm if pulse else None,
        beat_confidence=pulse.confidence if pulse else None,
        beat_first=pulse.first if pulse else None,
        sections=tuple(sections(trajectory)),
        lobe_count=dense.count,
        lobe_order=dense.order,
        lobe_separation=dense.separation,
    )


# --- Small blocks


def _balanced(points: ArrayLike) -> Reals:
    """The three widest axes at equal weight, so that a loud note does not hide a quiet one; nearly empty ones stay small."""
    centred = reals(points) - reals(points).mean(axis=0)
    left, spreads, _ = np.linalg.svd(centred, full_matrices=False)
    weights = np.divide(spreads, np.hypot(spreads, 0.1 * spreads[0]), out=np.zeros_like(spreads), where=spreads > 0)
    return np.asarray((left * weights)[:, :3] * np.sqrt(len(centred)))


def _settled(labels: Labels, width: float) -> Labels:
    """The commonest label over so many moments around each one."""
    shares = ndimage.uniform_filter1d(_one_hot(labels), max(1, round(width)), axis=0, mode="nearest")
    return np.asarray(shares.argmax(axis=1))


def _one_hot(labels: Labels) -> Reals:
    return np.eye(int(labels.max()) + 1)[labels]


def _by_appearance(labels: Labels) -> Labels:
    """The same labels, numbered from 0 in the order in which they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse])


def _runs(labels: Labels) -> list[tuple[int, int]]:
    """The half-open ranges over which the label stays the same."""
    borders = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    return list(itertools.pairwise(borders))
