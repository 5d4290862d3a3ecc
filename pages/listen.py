"""Listen: a song comes in, its shape forms, and it is heard along it."""

from pathlib import Path

from trajectory import preset
from trajectory.ui import intake, listening, place, work

song = place.song()
if song is None:
    intake.welcome()
    if (trouble := work.trouble()) is not None:
        place.say(trouble)
uploads = intake.chooser(Path("assets/songs"), open_wide=song is None)
if song is not None:
    section = intake.section(song)
    listening.stage(song, [preset(name, section=section) for name in ("conditioned", "pure")])
