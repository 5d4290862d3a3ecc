from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from tests.hanging import pytest_timeout_set_timer  # noqa: F401 - a hook

settings.register_profile("steady", derandomize=True)  # the same cases each time; `make nightly` draws others
settings.load_profile("steady")
torch.set_num_threads(1)  # two threads on a busy machine make small convolutions ten times slower


@pytest.fixture(autouse=True, scope="session")
def a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The library of whoever runs the tests stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRAJECTORY_HOME", str(tmp_path_factory.mktemp("home")))
        yield
