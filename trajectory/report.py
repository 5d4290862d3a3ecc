"""Divergences -> tables and plain words that a paper could use. Computes nothing that divergence.py does not."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trajectory.divergence import PAST, VALID, Divergence
from trajectory.errors import TrajectoryError
from trajectory.figures import Curve, divergence_curves, divergence_picture
from trajectory.runs import Run

PROTOCOL_WORDS = {
    "published": "in sample: the library is the whole path, every 10th point a start, as published in 2021",
    "past-only": f"past-only: the library is the first {PAST:.0%} of the path, the starts lie after it",
    "leave-segment-out": "leave-segment-out: each forecast's library is all but the stretch it foretells and one window on either side",
}


FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which spreadsheets begin one


class ReportError(TrajectoryError):
    """A report that cannot be written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """One method's divergence on one run."""

    run: Run
    name: str  # of the run
    method: str
    divergence: Divergence

    @property
    def beat_seconds(self) -> float | None:
        return self.run.song.beat.seconds if self.run.song.beat else None

    def rows(self) -> list[dict[str, Any]]:
        """One row a step."""
        found, seconds = self.divergence, self.divergence.step_seconds
        holding = (found.valid_steps[:, None] > np.arange(found.distances.shape[1])).mean(axis=0)
        return [
            {
                "run": self.name,
                "preset": self.run.settings.preset,
                "method": self.method,
                "protocol": found.protocol,
                "step": step + 1,
                "seconds": round((step + 1) * seconds, 6),
                "beats": round((step + 1) * seconds / self.beat_seconds, 6) if self.beat_seconds else "",
                "distance": float(found.mean[step]),
                "standard_error": float(found.standard_error[step]),
                "nrmse": float(found.nrmse[step]),
                "skill": float(found.skill[step]),
                "holding": float(holding[step]),
            }
            for step in range(found.distances.shape[1])
        ]

    def summary(self) -> dict[str, Any]:
        found = self.divergence
        valid = float(np.median(found.valid_steps))
        return {
            "run": self.name,
            "preset": self.run.settings.preset,
            "window_seconds": self.run.settings.window.seconds,
            "dims": self.run.settings.model.dims,
            "encoder_saw": self.run.settings.training.until,
            "method": self.method,
            "protocol": found.protocol,
            "starts": len(found.starts),
            "starts_without_forecast": found.missing,
            "valid_steps": valid,
            "valid_seconds": valid * found.step_seconds,
            "valid_beats": valid * found.step_seconds / self.beat_seconds if self.beat_seconds else None,
            "one_step_squared_error": found.step_errors[0],
            "one_step_cosine": found.step_errors[1],
            "distance_at": {str(step): float(found.mean[step - 1]) for step in (1, 5, 10, 20, 29) if step <= len(found.mean)},
        }


def write(entries: list[Entry], folder: str | Path) -> Path:
    """divergence.csv, .json, .html and .png, and methods.txt."""
    folder = Path(folder)
    rows = [row for entry in entries for row in entry.rows()]
    curves = [Curve(method=one.method, run=one.name, divergence=one.divergence, beat_seconds=one.beat_seconds) for one in entries]
    protocol = PROTOCOL_WORDS[entries[0].divergence.protocol]
    page, picture = divergence_curves(curves, protocol=protocol), divergence_picture(curves, protocol=protocol)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "divergence.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, fieldnames=list(rows[0]))
            table.writeheader()
            table.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
        (folder / "divergence.json").write_text(json.dumps([entry.summary() for entry in entries], indent=1), encoding="utf-8")
        (folder / "divergence.html").write_text(page.to_html(include_plotlyjs=True), encoding="utf-8")
        (folder / "divergence.png").write_bytes(picture)
        (folder / "methods.txt").write_text(words(entries) + "\n", encoding="utf-8")
    except OSError as error:
        raise ReportError(f"{folder} cannot be written: {error.strerror}") from error
    return folder


def _cell(value: Any) -> Any:
    """A name that a spreadsheet would take for a formula is given as the text that it is."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def words(entries: list[Entry]) -> str:
    """One paragraph on how the numbers came about, and what they say."""
    found = entries[0].divergence
    saw = sorted({entry.run.settings.training.until for entry in entries})
    encoder = "the whole song" if saw == [1.0] else f"the first {', '.join(f'{share:.0%}' for share in saw)} of the song"
    missing = sum(entry.divergence.missing for entry in entries)
    silent = f" {missing} forecasts came to no number for want of neighbours or of a past and are left out." if missing else ""
    best = max(entries, key=lambda entry: float(np.median(entry.divergence.valid_steps)))
    return (
        f"Forecasts of {found.distances.shape[1]} steps of {found.step_seconds * 1000:.1f} ms were made from {len(found.starts)} starts "
        f"({PROTOCOL_WORDS[found.protocol]}). The encoder itself was trained on {encoder}. Every axis was scaled once to [0, 1] by what "
        "the library spans; distances are Euclidean, given as means over starts with their standard error. NRMSE is the root mean squared "
        "error over the library's standard deviation (1 is the mean point), skill is 1 minus the ratio to persistence, and the valid "
        f"prediction time is the first step with NRMSE above {VALID}. The longest median valid prediction time was "
        f"{np.median(best.divergence.valid_steps) * best.divergence.step_seconds:.2f} s, by {best.method} on {best.name}.{silent}"
    )
