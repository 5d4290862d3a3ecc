import json
from typing import Any

import pytest

from trajectory.settings import (
    PRESETS,
    AudioLimits,
    LossSettings,
    ModelSettings,
    SectionSettings,
    Settings,
    SettingsError,
    SpectrogramSettings,
    TrainingSettings,
    WindowSettings,
    preset,
)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json_and_knows_its_name(name: str) -> None:
    settings = preset(name, window=WindowSettings(seconds=2), training=TrainingSettings(seed=7))
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert again.preset == name


def test_a_changed_loss_is_no_longer_the_preset() -> None:
    assert Settings(loss=LossSettings(forecast=0.5)).preset == "custom"


def test_the_presets_and_sizes_are_those_of_the_design() -> None:
    weights = {name: (loss.reconstruction, loss.forecast, loss.curvature, loss.off_centre) for name, (loss, _) in PRESETS.items()}
    assert weights == {
        "pure": (1, 0, 0, 0),
        "conditioned": (1, 0.003, 0, 0),
        "published": (1, 0.001, 0, 0),
        "smooth": (1, 0.003, 0.001, 0),
        "variational": (1, 0, 0, 0),
    }
    assert {name: horizons for name, (_, horizons) in PRESETS.items() if horizons != (1, 2, 4, 8)} == {"published": (1,)}
    model, picture = ModelSettings(), SpectrogramSettings()
    assert (model.dims, model.filters, model.decoder_seeds, model.decoder_filters) == (3, (32, 64, 128), 64, 128)
    assert (model.history, model.branch_units) == (45, 16)
    assert (picture.hop, picture.taper, picture.highest_hz, picture.decibels, picture.mel_bands) == (1024, 0.4, 4000, 60, 94)


def test_a_preset_with_other_horizons_is_refused() -> None:
    with pytest.raises(SettingsError, match="has horizons"):
        preset("conditioned", model=ModelSettings(horizons=(1, 3)))


def test_a_preset_keeps_its_horizons_when_the_model_is_replaced() -> None:
    settings = preset("published", model=ModelSettings(dims=12))
    assert (settings.model.dims, settings.model.horizons) == (12, (1,))


def test_the_fingerprint_ignores_the_device_and_nothing_else() -> None:
    base = preset("pure")
    assert preset("pure", training=TrainingSettings(device="cpu")).fingerprint() == base.fingerprint()
    others = [
        preset("smooth"),
        preset("pure", training=TrainingSettings(seed=1)),
        preset("pure", window=WindowSettings(seconds=1)),
        preset("pure", section=SectionSettings(start=1)),
    ]
    assert len({base.fingerprint(), *(other.fingerprint() for other in others)}) == 5


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: WindowSettings(seconds=0.1), "0.25 to 4"),
        (lambda: WindowSettings(seconds=float("nan")), "0.25 to 4"),
        (lambda: ModelSettings(dims=1), "2 to 32"),
        (lambda: ModelSettings(horizons=(4, 2)), "rising"),
        (lambda: ModelSettings(horizons=()), "horizons"),
        (lambda: LossSettings(forecast=-1), "0 or more"),
        (lambda: LossSettings(reconstruction=0), "switched off"),
        (lambda: SectionSettings(start=3, stop=2), "empty"),
        (lambda: SectionSettings(start=-1), "0 or later"),
        (lambda: SpectrogramSettings(scale="loud"), "linear, decibel or mel"),
        (lambda: TrainingSettings(steps=0), "steps"),
        (lambda: TrainingSettings(until=0), "until"),
        (lambda: preset("best"), "pure, conditioned"),
    ],
)
def test_nonsense_is_refused_with_what_to_choose(make: Any, part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        make()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"window": {"seconds": "0.5"}}, "settings.window.seconds cannot be '0.5'"),
        ({"window": 3}, "settings.window should be a table"),
        ({"colour": "red"}, "no field 'colour'"),
        ({"model": {"dims": True}}, "settings.model.dims cannot be True"),
        ({"model": {"horizons": [1, "2"]}}, "settings.model.horizons"),
        ({"model": {"dims": 10**9}}, "2 to 32"),
        ({"training": {"device": "/dev/sda"}}, "settings.training.device"),
    ],
)
def test_settings_from_a_stranger_are_checked_field_by_field(change: dict[str, Any], part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        Settings.from_dict(preset("pure").to_dict() | change)


def test_settings_that_are_no_table_are_refused() -> None:
    with pytest.raises(SettingsError, match="should be a table"):
        Settings.from_dict([1, 2])


def test_the_upload_limit_of_the_app_is_the_engines() -> None:
    import tomllib
    from pathlib import Path

    config = tomllib.loads((Path(__file__).parents[1] / ".streamlit/config.toml").read_text())
    assert config["server"]["maxUploadSize"] * 1_000_000 == AudioLimits().bytes


def test_a_section_in_whole_seconds_has_the_fingerprint_of_the_same_in_floats() -> None:
    whole, floats = (preset("pure", section=SectionSettings(start=start, stop=stop)) for start, stop in ((1, 30), (1.0, 30.0)))
    assert whole.fingerprint() == floats.fingerprint()
