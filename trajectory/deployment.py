"""How the app is deployed: for the people of one machine, or for visitors who do not know each other. Read from the environment."""

import dataclasses
import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from trajectory.errors import TrajectoryError

Kind = Literal["local", "shared"]
VARIABLE = "variable"  # in a field's metadata: the environment's name for it
OPEN = ("", "0.0.0.0", "::")  # noqa: S104 - addresses that are refused


class DeploymentError(TrajectoryError):
    """A way to deploy the app that makes no sense, or is not safe."""


def _from(name: str, default: float) -> Any:
    return field(default=default, metadata={VARIABLE: f"TRAJECTORY_{name}"})


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """`local`: one library for everybody who reaches the app. `shared`: to each visitor their own, within these quotas."""

    kind: Kind = "local"
    bytes: int = _from("QUOTA_BYTES", 1_000_000_000)  # on disk, of a visitor's songs, runs and films
    minutes: float = _from("QUOTA_MINUTES", 180.0)  # of a visitor's songs
    jobs: int = _from("QUOTA_JOBS", 12)  # of a visitor, waiting or running at once
    exports: int = _from("QUOTA_EXPORTS", 50)  # films and files that a visitor may have made within 24 hours
    idle_days: float = _from("QUOTA_IDLE_DAYS", 30.0)  # after a visitor's last visit that their data is kept
    queue: int = _from("QUOTA_QUEUE", 200)  # jobs of all visitors together: a visitor without cookies of the day before is a new one
    newcomers: int = _from("QUOTA_NEWCOMERS", 20)  # visitors from one address who may add their first song within 24 hours
    address_jobs: int = _from("QUOTA_ADDRESS_JOBS", 48)  # of all visitors from one address, waiting or running at once
    upload_bytes: int = _from("QUOTA_UPLOAD_BYTES", 2_000_000_000)  # of all visitors' uploads that are held in memory at once
    free_bytes: int = _from("QUOTA_FREE_BYTES", 1_000_000_000)  # of the disk that all visitors together leave free
    training_minutes: float = _from("LIMIT_TRAINING_MINUTES", 240.0)  # that a training or a film may run
    quick_minutes: float = _from("LIMIT_QUICK_MINUTES", 10.0)  # that anything else may run

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise DeploymentError(f"TRAJECTORY_DEPLOYMENT is {self.kind!r}; choose 'local' or 'shared'")
        for name, variable in _variables().items():
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise DeploymentError(f"{variable} is {value}; give a number above 0")

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Deployment":
        """What TRAJECTORY_DEPLOYMENT and the quotas beside it say; the defaults where they say nothing."""
        given: dict[str, Any] = {
            each.name: _number(variable, environment[variable], whole=each.type in (int, "int"))
            for each in dataclasses.fields(cls)
            if (variable := each.metadata.get(VARIABLE)) and environment.get(variable)
        }
        return cls(kind=environment.get("TRAJECTORY_DEPLOYMENT") or "local", **given)  # type: ignore[arg-type]

    @property
    def shared(self) -> bool:
        return self.kind == "shared"

    def check_address(self, address: str | None) -> None:
        """Refuses to give one library to everybody who reaches an address that is not this machine's own."""
        if not self.shared and not is_loopback(address or ""):
            where = f"{address!r}" if address not in (None, *OPEN) else f"{address or 'every address'!r}, which others reach"
            raise DeploymentError(
                f"the app would give one library to everybody at {where}; bind it with --server.address=localhost, "
                "or set TRAJECTORY_DEPLOYMENT=shared, which gives each visitor their own"
            )


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it; of names, localhost alone is known to."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def _variables() -> dict[str, str]:
    return {each.name: each.metadata[VARIABLE] for each in dataclasses.fields(Deployment) if VARIABLE in each.metadata}


def _number(variable: str, text: str, *, whole: bool) -> float:
    """Digits, as people write them: 1_000_000 and 1e9 are numbers too."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (whole and value != int(value)) or not re.search(r"\d", text):
        raise DeploymentError(f"{variable} is {text[:40]!r}; give a {'whole ' if whole else ''}number above 0")
    return int(value) if whole else value
