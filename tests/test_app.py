from pathlib import Path

from streamlit.testing.v1 import AppTest


def test_the_front_door_opens() -> None:
    app = AppTest.from_file(str(Path(__file__).parents[1] / "app.py")).run()
    assert not app.exception
    assert app.title[0].value == "See the shape of music"
