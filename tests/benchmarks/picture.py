"""`make picture`: the README's picture, drawn by the program and photographed in Chromium."""

import subprocess
import tempfile
from pathlib import Path

import trajectory
from tests.benchmarks.music import ROOT
from trajectory.figures import BACKGROUND, scene

SONG = ROOT / "assets/songs/03_rock_drums_sample.ogg"
SIZE = (1280, 600)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-gpu-compositing"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars"),
    *(f"--window-size={SIZE[0]},{SIZE[1]}", "--virtual-time-budget=10000", f"--screenshot={ROOT / 'assets/shape.png'}"),
)


def main() -> None:
    run = trajectory.fit(SONG, "smooth")
    figure = scene(run.trajectory, title=run.song.title or run.song.name)
    figure.update_layout(width=SIZE[0], height=SIZE[1])
    page = figure.to_html(include_plotlyjs=True, config={"displayModeBar": False})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shape.html"
        path.write_text(page.replace("<body>", f'<body style="margin: 0; background: {BACKGROUND}">'), encoding="utf-8")
        subprocess.run(["chromium", *FLAGS, path.as_uri()], check=True)  # noqa: S607


if __name__ == "__main__":
    main()
