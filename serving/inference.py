"""The Open Inference Protocol, which clients of Triton and KServe speak: a scan in, its mask out, in a call.

Preparation and clean-up are those of ``gliomaseg predict``, done here: a caller needs no code of ours. A call
waits for its turn behind all uploads, and what it brought is deleted when it is answered.
"""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import numpy.typing as npt
from anyio import CancelScope
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from ..transforms import keys
from ..transforms.space import Affine
from ..workflows.system.environment import version_of
from ..workflows.system.files import InputError, OurFaultError
from .jobs import STOPPED, STOPPING, FullError, Job, Jobs
from .landing import land
from .refusals import UnknownError, require_known
from .served import ENDED, Here, Served
from .tensors import Asked, Tensors, read_request, write_answer
from .uploads import StorageError, require_size, told_of_storage

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

MODEL: Final = "gliomaseg"
VERSION: Final = "1"
"""What the protocol calls the model that is served, and its version."""

IMAGE: Final = "image"
AFFINE: Final = "affine"
MASK: Final = "mask"
PROBABILITY: Final = "probability"

FILES: Final = dict(zip(keys.CHANNELS, ("study_t1.nii", "study_flair.nii", "study_t1ce.nii"), strict=True))
"""What the channels are written as, so that ``predict`` finds one study of several sequences."""

LONGEST: Final = 32767
"""Voxels in a row that a NIfTI file can hold."""

PAUSE_SECONDS: Final = 0.05
"""Between two looks at a job that has not ended."""

METADATA: Final = {
    "name": MODEL,
    "versions": [VERSION],
    "platform": "gliomaseg",
    "inputs": [
        {"name": IMAGE, "datatype": "FP32", "shape": [-1, -1, -1, -1]},
        {"name": AFFINE, "datatype": "FP64", "shape": [4, 4]},
    ],
    "outputs": [
        {"name": MASK, "datatype": "UINT8", "shape": [-1, -1, -1]},
        {"name": PROBABILITY, "datatype": "FP32", "shape": [-1, -1, -1]},
    ],
}


BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "Tensors `image`, (C, X, Y, Z), and `affine`, (4, 4), of the Open Inference Protocol.",
        "content": {
            "application/json": {"schema": {"type": "object", "required": ["inputs"]}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
"""What a request looks like, for the documentation of the API."""


@router.get("")
def server() -> dict[str, Any]:
    """Say who answers, and what of the protocol it knows beyond its core."""
    version = version_of("gliomaseg") or "unknown"
    return {"name": "gliomaseg", "version": version, "extensions": ["binary_tensor_data"]}


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live")
async def live() -> dict[str, bool]:
    """Say that the server answers."""
    return {"live": True}


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready")
async def ready(served: Here, response: Response) -> dict[str, bool]:
    """Say whether it works on what it is given."""
    response.status_code = 200 if served.jobs.is_alive else 503
    return {"ready": served.jobs.is_alive}


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}", include_in_schema=False)
def metadata(name: str, version: str = VERSION) -> dict[str, Any]:
    """Say which tensors the model takes and gives."""
    _require_model(name, version)
    return METADATA


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{version}/ready", include_in_schema=False)
def model_ready(served: Here, response: Response, name: str, version: str = VERSION) -> dict[str, Any]:
    """Say whether the model works on what it is given."""
    _require_model(name, version)
    response.status_code = 200 if served.jobs.is_alive else 503
    return {"name": MODEL, "ready": served.jobs.is_alive}


@router.post("/models/{name}/infer", openapi_extra=BODY)
@router.post("/models/{name}/versions/{version}/infer", include_in_schema=False)
async def infer(request: Request, served: Here, name: str, version: str = VERSION) -> Response:
    """Outline one scan, and answer when it is done."""
    _require_model(name, version)
    require_size(request.headers, served.settings)
    if request.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
        raise InputError("A request comes as it is, but this one is compressed; send it without.")
    with told_of_storage():
        job = await run_in_threadpool(served.jobs.open)
    try:
        with told_of_storage():
            await land(request, job.folder / "sent", lambda: served.jobs.require_going(job))
            asked = await run_in_threadpool(_lay_out, job, request, served)
        job.probabilities = PROBABILITY in asked.outputs
        served.jobs.submit(job)
        await _wait_for(job, request, served.jobs)
        body, headers = await run_in_threadpool(_answer, job, asked)
    except ClientDisconnect:
        return Response(status_code=400)  # which nobody reads
    finally:
        with CancelScope(shield=True):
            await run_in_threadpool(served.jobs.delete, job)
    return Response(body, headers=headers)


def _require_model(name: str, version: str) -> None:
    require_known("model", name, [MODEL])
    require_known("version", version, [VERSION])


def _lay_out(job: Job, request: Request, served: Served) -> Asked:
    """Write the scan of a request as volumes that ``predict`` takes."""
    with served.jobs.filling(job) as goes:
        asked = read_request(job.folder / "sent", request.headers, (MASK, PROBABILITY))
        for name in asked.tensors:
            require_known("input", name, [IMAGE, AFFINE])
        missing = [name for name in (IMAGE, AFFINE) if name not in asked.tensors]
        if missing:
            raise InputError(
                f"A scan is `{IMAGE}`, (C, X, Y, Z), and `{AFFINE}`, which says where its voxels lie in mm "
                f"as in a NIfTI file; there is no `{missing[0]}`."
            )
        affine = _affine_of(asked.tensors[AFFINE])
        for file, values in _channels_of(asked.tensors[IMAGE]).items():
            goes()
            nib.save(nib.Nifti1Image(values, affine), job.input / file)
        asked.tensors.clear()
        (job.folder / "sent").unlink()
    return asked


def _channels_of(image: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Return the volumes ``(X, Y, Z)`` of a scan, by the file that each becomes."""
    channels = image[np.newaxis] if image.ndim == 3 else image
    several = channels.ndim == 4 and len(channels) == len(keys.CHANNELS)
    if channels.ndim != 4 or not (several or len(channels) == 1):
        raise InputError(
            f"The shape of `{IMAGE}` is (X, Y, Z) or (1, X, Y, Z) for FLAIR, or (3, X, Y, Z) for "
            f"{', '.join(keys.CHANNELS)}, got {image.shape}."
        )
    names = list(FILES.values())
    if max(channels.shape) > LONGEST:
        raise InputError(
            f"A scan has at most {LONGEST} voxels in a row, got {image.shape}; send the scan of one head."
        )
    return dict(zip(names if several else [names[keys.FLAIR]], channels, strict=True))


def _affine_of(values: npt.NDArray[Any]) -> Affine:
    fits = values.shape == (4, 4)
    affine: Affine = np.array(values, dtype=np.float64) if fits else np.zeros((4, 4))
    if not np.isfinite(affine).all() or (affine[3] != (0, 0, 0, 1)).any() or not abs(np.linalg.det(affine)):
        got = affine.tolist() if fits else f"one of shape {values.shape}"
        raise InputError(
            f"`{AFFINE}` is 4 x 4, from voxels to mm (right, anterior, superior), with 0, 0, 0, 1 in its "
            f"last row and an inverse, got {got}."
        )
    return affine


async def _wait_for(job: Job, request: Request, jobs: Jobs) -> None:
    """Return when a job has ended.

    Raises:
        ClientDisconnect: nobody waits any more.
        FullError: the server stops.
    """
    while job.state not in ENDED:
        jobs.require_going(job)
        if await request.is_disconnected():
            raise ClientDisconnect
        await asyncio.sleep(PAUSE_SECONDS)


def _answer(job: Job, asked: Asked) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of the answer.

    Raises:
        InputError: the scan could not be outlined.
        StorageError: the disk is full.
        UnknownError: the job was given up.
    """
    if job.error == STOPPED:
        raise FullError(STOPPING)
    if not job.results.get("studies"):
        failed = job.results.get("failed") or [{}]
        words = str(failed[0].get("error") or job.error)
        for file in FILES.values():  # which the caller never sent
            words = words.replace(file, f"`{IMAGE}`")
        if job.lacked_room:
            raise StorageError(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        raise OurFaultError(words) if job.is_our_fault else InputError(words)
    (study,) = job.results["studies"]
    head = {
        "model_name": MODEL,
        "model_version": VERSION,
        **({"id": asked.id} if asked.id is not None else {}),
        "parameters": {
            **{name: study[name] for name in ("volume_voxels", "volume_ml", "confidence", "check_by_hand")},
            "notes": " ".join(study["notes"]),
            "model_sha256": study["model_sha256"],
            "note": "Research software. Not for diagnosis.",
        },
    }
    found: Tensors = {}
    for file in job.files[str(study["patient"])]:
        name = PROBABILITY if Path(file).name.endswith(f"_{PROBABILITY}.nii.gz") else MASK
        if asked.wants(name, by_itself=name == MASK):
            found[name] = _read(job.output / file, np.uint8 if name == MASK else np.float32)
    return write_answer(head, found, asked)


def _read(path: Path, kind: Any) -> npt.NDArray[Any]:
    try:
        return np.asarray(nib.load(path).dataobj, dtype=kind)
    except FileNotFoundError as error:
        raise UnknownError("The result was deleted before it was answered; send the scan again.") from error


def problem(path: str, status: int, words: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer to what is refused: the protocol has its own name for the sentence.

    Args:
        path: that was asked for.
        status: of the answer.
        words: why.
        headers: of the answer.
    """
    name = "error" if path == router.prefix or path.startswith(f"{router.prefix}/") else "detail"
    return JSONResponse({name: words}, status, headers)
