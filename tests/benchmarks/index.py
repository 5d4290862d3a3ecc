"""How fast the nearest of many vectors are found and how many of them are right; a million of them on their own.

The vectors are made up, as a mixture: 300 kinds of very unequal size, each a cloud of 16 dimensions with noise in all others. Noise
alone would have no neighbours worth finding. The queries are made the same way and are not in the index. One thread.
"""

import importlib
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from trajectory.records import Floats
from trajectory.settings import Likeness
from trajectory.similarity import Index, Space, exact, index

Row = tuple[str, str, str, str]  # what, target, measured, verdict

DIMS, KINDS, OWN_DIMS, NOISE = 512, 300, 16, 0.3
QUERIES, NEAREST = 200, 10
BLOCK = 10_000


def search(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """100,000 vectors of 512 by both likenesses, and what comparing with all of them costs at several sizes."""
    rows: list[Row] = []
    kept: dict[str, Any] = {}
    for likeness in ("cosine", "euclidean"):
        found = kept[likeness] = alone(measure, 100_000, likeness)
        where = f"100,000 by {likeness}"
        ok = found["query_ms"] < 10 and found["query_95_ms"] < 10
        rows += [
            (f"{where}: a query", "< 10 ms", f"{found['query_ms']:.2f} ms, 95 % below {found['query_95_ms']:.2f} ms", verdict(ok)),
            (f"{where}: recall@10 against exact", ">= 0.95", f"{found['recall']:.3f}", verdict(found["recall"] >= 0.95)),
            (f"{where}: exact", "-", f"{found['exact_ms']:.1f} ms", "-"),
            *rest(where, found),
        ]
    kept["exact_ms"] = alone(exact_by_size)
    rows += [(f"exact, {count:,} vectors of {DIMS}", "-", f"{ms:.2f} ms", "-") for count, ms in kept["exact_ms"].items()]
    return rows, kept


def million(_pool: ProcessPoolExecutor) -> tuple[list[Row], Any]:
    """1,000,000 vectors of 512, 2 GB: several minutes and up to 10 GB of memory, so it is best run on its own."""
    found = alone(measure, 1_000_000, "cosine")
    recall = (f"recall@10 against exact with {found['probes']} of {found['cells']} cells", "-", f"{found['recall']:.3f}", "-")
    speed = ("a query", "-", f"{found['query_ms']:.2f} ms, 95 % below {found['query_95_ms']:.2f} ms; exact {found['exact_ms']:.0f} ms", "-")
    return [speed, recall, *rest("a million", found)], found


def rest(where: str, found: dict[str, Any]) -> list[Row]:
    return [
        (f"{where}: build", "-", f"{found['build_s']:.1f} s", "-"),
        (f"{where}: 1,000 more, and their first query", "-", f"{found['add_s']:.2f} s", "-"),
        (f"{where}: 1,000 less, and the first query", "-", f"{found['remove_s']:.2f} s", "-"),
        (f"{where}: save, open with the first query", "-", f"{found['save_s']:.1f} s, {found['open_s']:.1f} s", "-"),
        (
            f"{where}: on disk, in memory, most while building",
            "-",
            f"{found['disk_gb']:.2f}, {found['memory_gb']:.2f}, {found['most_gb']:.2f} GB",
            "-",
        ),
    ]


def alone(task: Callable[..., Any], *given: Any) -> Any:
    """In a process of its own, so that its memory is told."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as one:
        return one.submit(on_one_thread, task, *given).result()


def on_one_thread(task: Callable[..., Any], *given: Any) -> Any:
    importlib.import_module("faiss").omp_set_num_threads(1)
    with threadpool_limits(1):
        return task(*given)


def measure(count: int, likeness: Likeness) -> dict[str, float]:
    more, queries = np.split(made_up(1_000 + QUERIES, start=1), [1_000])
    whole, found = built(count, likeness)
    return found | searched(whole, queries) | changed(whole, more) | stored(whole)


def built(count: int, likeness: Likeness) -> tuple[Index, dict[str, float]]:
    vectors = made_up(count)
    space = Space(encoder="made-up", version="1", dims=DIMS, likeness=likeness)
    whole, seconds = timed(lambda: first(Index.build([f"song{i}" for i in range(count)], vectors, space)))
    assert whole.cells is not None
    return whole, {"build_s": seconds, "most_gb": memory("VmHWM"), "cells": len(whole.cells.centres), "probes": whole.cells.probes}


def searched(whole: Index, queries: Floats) -> dict[str, float]:
    found = {"memory_gb": memory("VmRSS")}
    truth = Index(ids=whole.ids, vectors=whole.vectors, space=whole.space)  # without cells every search is exact
    answers, milliseconds = one_by_one(whole, queries)
    right, exact_milliseconds = one_by_one(truth, queries)
    shared = sum(len({*one} & {*other}) for one, other in zip(answers, right, strict=True))
    return found | {
        "query_ms": float(np.median(milliseconds)),
        "query_95_ms": float(np.quantile(milliseconds, 0.95)),
        "exact_ms": float(np.median(exact_milliseconds)),
        "recall": shared / (len(queries) * NEAREST),
    }


def changed(whole: Index, more: Floats) -> dict[str, float]:
    _, add_s = timed(lambda: first(whole.add([f"new{i}" for i in range(len(more))], more)))
    _, remove_s = timed(lambda: first(whole.remove(whole.ids[:1_000])))
    return {"add_s": add_s, "remove_s": remove_s}


def stored(whole: Index) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        place, save_s = timed(lambda: whole.save(folder))
        _, open_s = timed(lambda: first(Index.open(folder, whole.space)))
        return {"save_s": save_s, "open_s": open_s, "disk_gb": place.stat().st_size / 1e9}


def one_by_one(whole: Index, queries: Floats) -> tuple[list[list[int]], list[float]]:
    """What each query alone finds, and in how many milliseconds."""
    found = [timed(lambda query=query: whole.search(query[None], NEAREST)[1][0].tolist()) for query in queries]
    return [rows for rows, _ in found], [1000 * seconds for _, seconds in found]


def first(made: Index) -> Index:
    """An index that was searched once, and so is ready."""
    made.search(made.vectors[:1], 1)
    return made


def exact_by_size() -> dict[int, float]:
    """Milliseconds a query; the sizes about LARGE say where cells begin to be worth their while."""
    vectors = made_up(100_000 + QUERIES)
    found = {}
    for count in (5_000, 10_000, index.LARGE // DIMS, 50_000, 100_000):
        middle = exact.Middle.of(vectors[:count], "cosine")
        times = [
            timed(lambda i=i, n=count, m=middle: next(exact.shortlists(vectors[-1 - i][None], vectors[:n], m, 18)))[1] for i in range(60)
        ]
        found[count] = 1000 * float(np.median(times))
    return found


def made_up(count: int, *, start: int = 0) -> Floats:
    """Of one mixture; another start gives others of it."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(KINDS, DIMS)).astype(np.float32)
    shapes = random.normal(size=(KINDS, OWN_DIMS, DIMS)).astype(np.float32) * np.float32(0.7 / np.sqrt(OWN_DIMS))
    shares = random.gamma(1.0, size=KINDS)
    random = np.random.default_rng(start)
    kinds = random.choice(KINDS, count, p=shares / shares.sum())
    vectors = np.empty((count, DIMS), np.float32)
    for place in range(0, count, BLOCK):
        own = kinds[place : place + BLOCK]
        vectors[place : place + BLOCK] = centres[own] + np.float32(NOISE) * random.standard_normal((len(own), DIMS), dtype=np.float32)
        for kind in np.unique(own):
            rows = place + np.flatnonzero(own == kind)
            vectors[rows] += random.standard_normal((len(rows), OWN_DIMS), dtype=np.float32) @ shapes[kind]
    return vectors


def timed(task: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    found = task()
    return found, time.perf_counter() - began


def memory(what: str) -> float:
    """GB of this process: VmRSS now, VmHWM at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1e6


def verdict(met: bool) -> str:
    return "met" if met else "NOT MET"
