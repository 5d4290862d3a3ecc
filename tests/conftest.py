from collections.abc import Iterator

import pytest
import torch

from tests.hanging import pytest_timeout_set_timer  # noqa: F401 - a hook

torch.set_num_threads(1)  # two threads on a busy machine make small convolutions ten times slower


@pytest.fixture(autouse=True, scope="session")
def a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The library of whoever runs the tests stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAJECTORY_HOME", str(tmp_path_factory.mktemp("home")))
        yield
