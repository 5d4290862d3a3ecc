"""The one family of errors that a user can do something about; each stage has its own subclass beside its raiser."""

import lzma
import struct
import tokenize
import zipfile
import zlib

# What json, zipfile and numpy, which reads the heads of its arrays as Python, raise where bytes are not what they were.
DAMAGE = (
    *(LookupError, TypeError, ValueError, AttributeError, OSError, EOFError, ArithmeticError, MemoryError, SyntaxError),
    *(struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError, tokenize.TokenError, RuntimeError),  # the last where it nests too deep
)


class TrajectoryError(Exception):
    """What is wrong, the value, what to do: one sentence that is shown as it stands."""


class Cancelled(TrajectoryError):  # noqa: N818 - nothing went wrong
    """Raised by a progress callback to end the work it watches."""


def reason(error: BaseException) -> str:
    """What a library says of a damaged file, as part of a sentence: it may quote the file."""
    letters = "".join(letter if letter.isprintable() else " " for letter in str(error))
    return " ".join(letters.split())[:120]
