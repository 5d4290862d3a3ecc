"""A page that was exported, opened from disk where there is no network."""

from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import Browser

from tests.test_export import HOSTILE, called, heard
from trajectory import figures
from trajectory.export import export

PLAYER = "window.__trajectoryPlayers.get('page')"


def test_an_exported_page_plays_from_disk_and_asks_for_nothing(chromium: Browser, tmp_path: Path) -> None:
    sound = tmp_path / "sound.ogg"
    soundfile.write(sound, np.sin(np.arange(88_200) / 20) / 2, 44_100, format="OGG")
    run = called(HOSTILE)
    (path,) = export(run, ["html"], tmp_path, name="page", features=heard(), sound=sound, hue="section")
    context = chromium.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.goto(path.as_uri())
    page.wait_for_function("window.__trajectoryPlayers?.get('page')?.ready() === true")

    assert page.title() == " ".join(HOSTILE.split())
    shown = page.evaluate(f"Array.from({PLAYER}.points().raw)")
    np.testing.assert_array_equal(np.float32(shown).reshape(-1, 3), figures.shown(run.trajectory.points, run.trajectory))
    assert page.locator(".panes canvas:visible").count() == 4
    head = page.evaluate(f"{PLAYER}.head()")
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function(f"{PLAYER}.audio.currentTime > 0.6")
    assert page.evaluate(f"{PLAYER}.head()") != head
    page.get_by_role("slider", name="Time in the song").fill("1.2")
    page.wait_for_function(f"{PLAYER}.drawn() > 1.2")

    assert set(asked) <= {"file", "data", "blob"}
    assert not wrong
    context.close()
