"""The one family of errors that a user can do something about; each stage has its own subclass beside its raiser."""


class TrajectoryError(Exception):
    """What is wrong, the value, what to do: one sentence that is shown as it stands."""


class Cancelled(TrajectoryError):  # noqa: N818 - nothing went wrong
    """Raised by a progress callback to end the work it watches."""
