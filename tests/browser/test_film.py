"""What is taken away against what is seen: films and frames beside the browser."""

import base64
import io
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import PIL.Image
import pytest
from playwright.sync_api import Page
from scipy.ndimage import gaussian_filter

from tests.browser.test_visit import opened, player
from trajectory import filming, video
from trajectory.library import Library
from trajectory.runs import Run
from trajectory.video import Box, FilmSettings, Held

CAMERA = {"eye": {"x": 0.9, "y": 0.7, "z": 0.4}, "center": {"x": 0.1, "y": 0.0, "z": -0.1}, "up": {"x": 0.0, "y": 0.0, "z": 1.0}}
MOMENT = 12.0


@pytest.fixture(scope="package")
def run(home: Path, trained: str) -> Run:
    """The one that the pages show."""
    return Library(home).run(parse_qs(trained)["run"][0])


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_a_film_plays_with_its_sound_to_its_end(page: Page, run: Run, home: Path, trained: str, tmp_path: Path, ending: str) -> None:
    settings = FilmSettings(width=320, height=180, start=4.0, stop=6.0)
    song = Library(home).sound(parse_qs(trained)["song"][0])
    filming.film(filming.shots(run, filming.Scenery()), tmp_path / f"film{ending}", settings, sound=song)
    kept = base64.b64encode((tmp_path / f"film{ending}").read_bytes()).decode()
    page.set_content(f"<video src='data:video/{ending[1:]};base64,{kept}'></video>")
    seen = page.evaluate(
        """async () => {
          const video = document.querySelector("video"), pictures = [];
          const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
          const brush = canvas.getContext("2d", { willReadFrequently: true });
          await video.play();
          while (!video.ended && !video.error) {
            await new Promise(requestAnimationFrame);
            brush.drawImage(video, 0, 0);
            pictures.push(canvas.toDataURL());
          }
          const told = { width: video.videoWidth, height: video.videoHeight, seconds: video.duration, error: video.error?.message };
          return { ...told, sound: video.webkitAudioDecodedByteCount, pictures: new Set(pictures).size };
        }"""
    )
    assert not seen.get("error")
    assert (seen["width"], seen["height"]) == (320, 180)
    assert seen["seconds"] == pytest.approx(2.0, abs=1 / 30)
    assert seen["sound"] > 1_000
    assert seen["pictures"] > 10


def test_a_frame_shows_what_explore_shows(page: Page, run: Run, trained: str) -> None:
    camera = ",".join(str(CAMERA[name][axis]) for name in ("eye", "center", "up") for axis in "xyz")
    opened(page, f"/explore?{trained}&t={MOMENT}&camera={camera}", "explore")
    width, height = page.locator(".scenes").evaluate("box => [box.clientWidth, box.clientHeight]")
    (shot,) = filming.shots(run, filming.Scenery())
    box = Box.of(shot)
    for time in (shot.times[0], MOMENT, shot.times[-1]):
        place = np.array([[np.interp(time, shot.times, shot.points[:, axis]) for axis in range(3)]])
        there = video.project(box.places(place), CAMERA, width, height)[0, :2]
        assert player(page, "explore", f"player.project({time}, 0).slice(0, 2)") == pytest.approx(there.tolist(), abs=0.5)
    settings = FilmSettings(width=2 * (width // 2), height=2 * (height // 2), camera=Held(CAMERA), time_code=False)
    drawn = _light(video.poster_png([shot], time=MOMENT, settings=settings))
    seen = _light(page.locator(".scenes").screenshot())
    rows, columns = (min(drawn.shape[axis], seen.shape[axis]) for axis in range(2))
    assert np.corrcoef(drawn[:rows, :columns].ravel(), seen[:rows, :columns].ravel())[0, 1] > 0.8


def _light(picture: bytes) -> np.ndarray:
    """How bright a picture is, seen from a little away: lines of one pixel may lie half a pixel beside each other."""
    grey = np.asarray(PIL.Image.open(io.BytesIO(picture)).convert("L"), np.float64)
    return np.asarray(gaussian_filter(grey, 3.0))
