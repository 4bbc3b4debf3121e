"""Files that are either whole or not there: written under a temporary name, then moved into place."""

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_BLOCK = 1 << 20
_ASKING = threading.Lock()

_WAYS_OUT = {
    errno.ENOSPC: "Free some room or choose another output folder.",
    errno.EDQUOT: "Free some room or choose another output folder.",
    errno.EISDIR: "Move that folder away or choose another output folder.",
    errno.ENOTDIR: "A file stands where a folder is needed; move it away or choose another output folder.",
    errno.EEXIST: "A file stands where a folder is needed; move it away or choose another output folder.",
    errno.EACCES: "Choose an output folder that you may write to.",
    errno.EPERM: "Choose an output folder that you may write to.",
    errno.EROFS: "Choose an output folder that you may write to.",
}
"""What would work after a failure to write, by its number; see ``could_not_write``."""


class InputError(ValueError):
    """Say what a user gave that cannot be used: the rule, what came, what would work.

    The command line prints the sentence without a traceback and exits with 2.
    """


class NothingFoundError(InputError):
    """Say that a folder holds nothing of what was looked for."""


class OurFaultError(InputError):
    """Say that something went wrong which should not, though the rest of the work is done.

    The command line prints the sentence without a traceback and exits with 1.
    """


def could_not_write(path: str | os.PathLike[str], error: OSError) -> InputError:
    """Return the sentence about a path that could not be written: why, and what would work."""
    way_out = _WAYS_OUT.get(error.errno or 0, "Choose another output folder.")
    return InputError(f"Could not write {path}: {error.strerror or error}. {way_out}")


def require_folder(output: Path) -> None:
    """Check before long work that ``--output`` is a folder, or can become one.

    Raises:
        InputError: a file stands there, or in the place of a folder above it.
    """
    standing = next((place for place in (output, *output.parents) if place.exists()), None)
    if standing is not None and not standing.is_dir():
        raise InputError(
            f"--output names the folder to write to, but {standing} is a file; choose another --output."
        )


@contextlib.contextmanager
def replace_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` and move it into place when the block ends well.

    The temporary name keeps the ending of ``path``, because many writers choose the format by it.
    Missing parent folders are made. When the block raises, the temporary file is removed and whatever
    stood at ``path`` before is untouched.

    Raises:
        InputError: the file cannot be written (no room left, no permission, a folder in its place).
    """
    target = Path(path)
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        ending = "".join(target.suffixes)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=ending, dir=target.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        raise could_not_write(target, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    with replace_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all; NaN is refused, use None."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_nifti(
    path: str | os.PathLike[str],
    values: Any,
    affine: Any,
    header: Any = None,
    *,
    spacing_known: bool = True,
    words: str = "",
) -> None:
    """Write values as they are, with their affine in mm, RAS; whole or not at all.

    Args:
        path: of the file.
        values: ``(X, Y, Z)``, or ``(X, Y, Z, C)``, of a number type that NIfTI knows.
        affine: ``(4, 4)``.
        header: whose codes of geometry are taken over; None takes nibabel's own.
        spacing_known: False says in the header that the size of a voxel is made up.
        words: what the header says besides, at most 60 letters.

    Raises:
        InputError: the file cannot be written (no room left, no permission, a folder in its place).
    """
    import nibabel  # this module is loaded at once
    import numpy as np

    from ...transforms.nifti import SIZE_UNKNOWN

    image = nibabel.Nifti1Image(np.ascontiguousarray(values), np.asarray(affine, np.float64), header)
    image.header.set_data_dtype(values.dtype)
    image.header.set_xyzt_units("mm")
    said = "; ".join(part for part in ("" if spacing_known else SIZE_UNKNOWN, words) if part)
    if said:
        image.header["descrip"] = said.encode()
    with replace_atomically(path) as temporary:
        nibabel.save(image, temporary)


def save_tensors(path: str | os.PathLike[str], state: Any, keep: Path | None = None) -> None:
    """Write a state dict, or nested containers of tensors, with ``torch.save``, whole or not at all.

    Args:
        path: of the file.
        state: what torch saves.
        keep: where the file that stood at ``path`` is moved, once the new one is whole.

    Raises:
        InputError: the file cannot be written (no room left, no permission, a folder in its place).
    """
    with replace_atomically(path) as temporary:
        with temporary.open("wb") as stream:
            _save_to(stream, state)
        if keep is not None and Path(path).exists():
            Path(path).replace(keep)


def safe_name(name: str) -> str:
    """Return a name that is one file on any system and one word in an address.

    Example:
        >>> safe_name("Müller, A / 3")
        'M_ller_A_3'
    """
    return re.sub(r"[^A-Za-z0-9_.+-]+", "_", name).strip("._") or "study"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _save_to(stream: BinaryIO, state: Any) -> None:
    import torch

    try:
        torch.save(state, stream)
    except RuntimeError as error:  # what torch makes of a disk that is full
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _umask() -> int:
    """Return the umask, where Linux tells it without setting it, which other threads would feel."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        told = Path("/proc/thread-self/status").read_text(encoding="ascii", errors="replace")
        return int(next(line for line in told.splitlines() if line.startswith("Umask:")).split()[1], 8)
    with _ASKING:  # to ask is to set it for a moment
        mask = os.umask(0)
        os.umask(mask)
    return mask
