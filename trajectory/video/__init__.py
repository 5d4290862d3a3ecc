"""Paths through space -> a film with the song's sound, a looping picture, a poster. What it draws is what the page's player draws.

A shot's points are shown coordinates (`figures.shown`), its times are seconds of the song.
"""

from .camera import Camera, Held, Keys, Turn, VideoError, home, project
from .films import SOUNDING, FilmProgress, film, frame, loop, poster_png, poster_svg
from .panel import Box
from .shots import FilmSettings, Overlay, Shot, span

__all__ = [
    "SOUNDING",
    "Box",
    "Camera",
    "FilmProgress",
    "FilmSettings",
    "Held",
    "Keys",
    "Overlay",
    "Shot",
    "Turn",
    "VideoError",
    "film",
    "frame",
    "home",
    "loop",
    "poster_png",
    "poster_svg",
    "project",
    "span",
]
