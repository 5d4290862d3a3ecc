"""What songs and runs are called: a stranger's words as one plain line, and labels by which runs are told apart."""

import unicodedata

from trajectory import audio
from trajectory.settings import PRESETS, WHOLE, ModelSettings, Settings, SpectrogramSettings, preset

LONGEST_TITLE = 200  # letters; longer names of files and artists are cut there


def line(text: str) -> str:
    """A stranger's text as one line that a catalogue and a page can take."""
    return " ".join("".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in text).split())


def short(text: str | None) -> str:
    """A line that is cut where it is longer than a title may be."""
    whole = line(text or "")
    return whole if len(whole) <= LONGEST_TITLE else whole[: LONGEST_TITLE - 1] + "…"


def folded(text: str) -> str:
    """Text as it is compared: one case, one way to write an accent."""
    return unicodedata.normalize("NFKC", text).casefold()


def label(settings: Settings, run_id: str) -> str:
    """What people choose by; where that is not all that sets the run apart, the beginning of its id too."""
    if settings.encoder:
        return f"as {settings.preset} hears it"
    section, scale, dims = settings.section, settings.spectrogram.scale, settings.model.dims
    parts = [settings.preset, f"{settings.window.seconds:g} s", scale, f"{dims}D"]
    if settings.partner:
        parts.append(f"in one space with {settings.partner[:4]}")
    if section != WHOLE:
        parts.append(f"{audio.clock(section.start)} to {audio.clock(section.stop) if section.stop else 'the end'}")
    if settings.preset not in PRESETS or settings.fingerprint() != _plain(settings).fingerprint():
        parts.append(run_id[:4])
    return " · ".join(parts)


def _plain(settings: Settings) -> Settings:
    """The settings that differ from their preset's in nothing that a label says."""
    return preset(
        settings.preset,
        section=settings.section,
        spectrogram=SpectrogramSettings(scale=settings.spectrogram.scale),
        window=settings.window,
        model=ModelSettings(dims=settings.model.dims),
        partner=settings.partner,
    )
