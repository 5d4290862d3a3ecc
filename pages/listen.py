"""Listen: a song comes in, its shape forms, and it is heard along it."""

from pathlib import Path

from trajectory import preset
from trajectory.ui import intake, listening, place

song = place.song()
if song is None:
    intake.welcome()
uploads = intake.chooser(Path("assets/songs"), open_wide=song is None)
if song is not None:
    section = intake.section(song)
    listening.stage(song, [preset(name, section=section) for name in ("conditioned", "pure")])
