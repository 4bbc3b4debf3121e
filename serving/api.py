"""A Segmenter and settings in, the web application out: the page, and the HTTP API that it calls.

``POST /api/jobs`` takes the files of one or several studies and answers at once; ``GET /api/jobs/{id}`` says
how far they are and what was found. All that is uploaded stays in one folder of this machine, which goes when
the server stops.
"""

from __future__ import annotations

import itertools
import shutil
import time
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from anyio import CancelScope
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..workflows.ensemble import Ensemble
from ..workflows.folders.dicom_series import OPTIONS
from ..workflows.segment import Segmenter
from ..workflows.system.environment import version_of
from ..workflows.system.files import InputError, OurFaultError
from .callers import CHALLENGE, OPEN, READING, STRANGER, WATCHED, refusal_of, shows_token
from .inference import problem
from .inference import router as inference
from .jobs import OUR_FAULT, STOPPED, FullError, Job, Jobs
from .landing import StalledError, read_form
from .meters import CONTENT_TYPE, Meters
from .outlining import Outliner, draw_slice, without_folder
from .refusals import UnknownError, require_known
from .schemas import Failure, Health, JobInfo, ModelInfo, Problem, Study
from .served import ENDED, Here, Served
from .settings import ServeSettings
from .uploads import (
    LengthUnknownError,
    StorageError,
    TooLargeError,
    Upload,
    require_size,
    save_uploads,
    told_of_storage,
)

router = APIRouter()

WEB: Final = Path(__file__).parent / "web"

STATUS: Final = (
    (UnknownError, 404),
    (FullError, 503),
    (TooLargeError, 413),
    (LengthUnknownError, 411),
    (StalledError, 408),
    (StorageError, 507),
    (OurFaultError, 500),
)
"""How refusals are answered; any other is a 422."""

RETRY_SECONDS: Final = 30
"""After which whoever found all places taken may ask again."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer: a page may load nothing from elsewhere, and pictures of patients stay in no cache."""

PAGES: Final = (
    ("/", "page.html", "text/html"),
    ("/page.js", "page.js", "text/javascript"),
    ("/page.css", "page.css", "text/css"),
    ("/api/docs", "docs.html", "text/html"),
    ("/favicon.ico", "icon.svg", "image/svg+xml"),
)
"""Address, file and kind."""

PACKED: Final = (".gz", ".png", ".jpg", ".jpeg")
"""Endings of files that are compressed by themselves."""

UNKNOWN: Final[dict[int | str, dict[str, Any]]] = {404: {"model": Problem}}
REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    number: {"model": Problem} for number in (400, 401, 408, 411, 413, 422, 503, 507)
}

DESCRIPTION: Final = """Outlines FLAIR abnormality (lower-grade glioma) in brain MRI. Research software.
Not for diagnosis.

    curl -F files=@flair.nii.gz http://127.0.0.1:8000/api/jobs"""

NAMES: Final = {option.removeprefix("--"): sequence for sequence, option in OPTIONS.items()}
"""Form field -> sequence, called as the options of ``gliomaseg predict``."""

SERIES: Final = {
    name: f"DICOM series that is {sequence}, by number or description, where its headers do not tell."
    for name, sequence in NAMES.items()
}
"""Form field -> what it is for."""

DICOM_SEG: Final = "dicom_seg"
RTSTRUCT: Final = "rtstruct"
PROBABILITIES: Final = "probabilities"
FORM_WORDS: Final = "An upload is a form (multipart/form-data) with its files in the field `files`."
SWITCHES: Final = {
    DICOM_SEG: "Masks of DICOM studies as DICOM Segmentations too.",
    RTSTRUCT: "Outlines of DICOM studies as RT Structure Sets too.",
    PROBABILITIES: "Probabilities beside the masks.",
}
YES: Final = ("true", "1", "on", "yes")
"""Form fields that ask for more, and what they say then, in small or capital letters."""
NO: Final = ("", "false", "0", "off", "no")
"""What they say where they ask for nothing."""

FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "Slices, NIfTI, NRRD or DICOM of one or several studies, or ZIP "
                            "archives of them; folders stand in the names of the files.",
                        },
                        **{name: {"type": "string", "description": told} for name, told in SERIES.items()},
                        **{name: {"type": "boolean", "description": told} for name, told in SWITCHES.items()},
                    },
                }
            }
        },
    }
}
"""What an upload looks like, for the documentation of the API."""


def create_app(
    segmenter: Segmenter | Ensemble,
    settings: ServeSettings,
    folder: Path,
    tell: Callable[[str], None] | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        segmenter: outlines.
        settings: of the server.
        folder: for what is uploaded and found.
        tell: is given a line for each upload that has ended.
    """
    version = version_of("gliomaseg") or "unknown"
    meters = Meters(segmenter.network_name, segmenter.sha256, version)
    numbers = itertools.count(1)

    def ended(job: Job, seconds: float) -> None:
        meters.count(job, seconds)
        if tell is not None:
            tell(line_of(job, next(numbers), seconds))

    work = Outliner(segmenter, settings.changes)
    jobs = Jobs(folder, work, settings.waiting, settings.keep_minutes * 60, on_end=ended)
    meters.watch(jobs)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        jobs.start()
        yield
        jobs.stop(0)  # whoever runs the server waits for the study at work

    app = FastAPI(
        title="gliomaseg",
        version=version,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,  # FastAPI's own loads its program from elsewhere
        redoc_url=None,
    )
    app.state.served = Served(segmenter, settings, jobs, meters)
    app.add_exception_handler(InputError, _answer_refusal)
    app.add_exception_handler(RequestValidationError, _answer_wrong)
    app.add_exception_handler(HTTPException, _answer_unknown)
    app.add_exception_handler(Exception, _answer_fault)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Below, path=settings.root_path)
    _add_page(app)
    app.include_router(router)
    app.include_router(inference)
    return app


async def _answer_refusal(request: Request, error: Exception) -> Response:
    status = next((number for kind, number in STATUS if isinstance(error, kind)), 422)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None
    return problem(_path_of(request), status, str(error), headers)


async def _answer_unknown(request: Request, error: Exception) -> Response:
    """Answer an address or a method that there is not."""
    told = error if isinstance(error, HTTPException) else HTTPException(404)
    words = f"{told.detail}; /api/docs says what there is."
    return problem(_path_of(request), told.status_code, words, dict(told.headers or {}))


def _path_of(request: Request) -> str:
    served: Served = request.app.state.served
    return get_path(request.scope, served.settings.root_path)  # not the address, of which Host is a part


async def _answer_wrong(_: Request, error: Exception) -> Response:
    wrong = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    words = (
        f"{wrong.get('loc', ['the request'])[-1]}: {wrong.get('msg', 'wrong')}, got {wrong.get('input')!r}."
    )
    return JSONResponse({"detail": f"{words} /api/docs says what is asked for."}, 422)


async def _answer_fault(request: Request, error: Exception) -> Response:
    """Answer what nobody foresaw; it passes by the middleware, and the server logs it."""
    return problem(_path_of(request), 500, OUR_FAULT, HEADERS)


class Guard:
    """Refuse strangers and what other web pages make a browser send; tell browsers what answers may do.

    Args:
        app: answers.
        settings: of the server.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = self._refuse(Request(scope)) if scope["type"] == "http" else None
        await (refusal or self.app)(scope, receive, send_guarded)

    def _refuse(self, request: Request) -> Response | None:
        settings = self.settings
        path = get_path(request.scope, settings.root_path)  # not the address, of which Host is a part
        refusal = refusal_of(request.method, request.headers, settings.host, settings.names)
        if refusal and not (path in WATCHED and request.method in READING):
            return problem(path, 403, refusal)
        if settings.token and path not in OPEN and not shows_token(request.headers, settings.token):
            return problem(path, 401, STRANGER, CHALLENGE)
        return None


def get_path(scope: Scope, root_path: str) -> str:
    """Return what is asked for, without the path of a proxy."""
    path = str(scope["path"])
    return path.removeprefix(root_path) if path.startswith(f"{root_path}/") else path


class Below:
    """Take requests with the path of a proxy before theirs or without it.

    Args:
        app: answers.
        path: such as ``/glioma``.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app = app
        self.path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.app({**scope, "root_path": self.path}, receive, send)


def _add_page(app: FastAPI) -> None:
    for address, name, kind in PAGES:
        app.add_route(address, _always((WEB / name).read_bytes(), kind), include_in_schema=False)


def _always(content: bytes, kind: str) -> Callable[[Request], Response]:
    def answer(_: Request) -> Response:
        return Response(content, media_type=kind)

    return answer


def line_of(job: Job, number: int, seconds: float) -> str:
    """Return what the log says of an upload that has ended: no names of patients or files."""
    done, failed = (len(job.results.get(part, ())) for part in ("studies", "failed"))
    if job.deleted and job.error == STOPPED:
        what = "deleted while it was at work"
    elif done or failed:
        what = f"{done} {'study' if done == 1 else 'studies'} outlined" + (
            f", {failed} not" if failed else ""
        )
    else:
        what = "nothing outlined"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S')} upload {number}: {what}, {seconds:.1f} s"


def _found(job_id: str, served: Here) -> Job:
    return served.jobs.find(job_id)


Found = Annotated[Job, Depends(_found)]


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", tags=["health"])
async def live() -> Health:
    """Say that the server answers."""
    return Health(status="ok")


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", tags=["health"], responses={503: {"model": Health}})
async def ready(served: Here, response: Response) -> Health:
    """Say whether it takes uploads and works on them."""
    if served.jobs.is_alive:
        return Health(status="ok")
    response.status_code = 503
    return Health(status="not ready")


@router.head("/metrics", include_in_schema=False)
@router.get("/metrics", tags=["health"], response_class=PlainTextResponse)
def metrics(served: Here) -> Response:
    """Return what was done and what waits, in the text form of Prometheus."""
    return Response(served.meters.text(), media_type=CONTENT_TYPE)


@router.get("/api/model", tags=["model"])
def model(served: Here) -> ModelInfo:
    """Say which model outlines."""
    segmenter = served.segmenter
    return ModelInfo(
        network=segmenter.network_name,
        sha256=segmenter.sha256,
        size=segmenter.size,
        threshold=segmenter.threshold,
        device=str(segmenter.device),
        dtype=segmenter.dtype,
        settings=dict(served.settings.changes),
        check_below=segmenter.check_below,
        version=version_of("gliomaseg") or "unknown",
        largest_upload_mb=served.settings.upload_mb,
        keep_minutes=served.settings.keep_minutes,
    )


@router.post(
    "/api/jobs",
    tags=["jobs"],
    status_code=202,
    response_model=JobInfo,
    openapi_extra=FORM,
    responses=REFUSED,
)
async def upload(request: Request, served: Here) -> Response:
    """Upload the files of one or several studies; they are outlined one after the other."""
    jobs, settings = served.jobs, served.settings
    limits = {"max_files": settings.upload_files, "max_fields": 16}
    require_size(request.headers, settings)
    with told_of_storage():
        job = await run_in_threadpool(jobs.open)
    try:
        form = await read_form(request, job.folder / "sent", limits, lambda: jobs.require_going(job))
        sent = [part for part in form.getlist("files") if not isinstance(part, str)]
        await run_in_threadpool(_unpack, sent, job, served)
        words = _words_of(form)
        job.dicom_seg, job.rtstruct, job.probabilities = (words[name].lower() in YES for name in SWITCHES)
        job.wanted = {sequence: words[name] for name, sequence in NAMES.items() if words[name]}
        if await request.is_disconnected():
            raise ClientDisconnect
        jobs.submit(job)
    except BaseException as error:
        with CancelScope(shield=True):  # a server that stops waits for nobody
            await run_in_threadpool(jobs.delete, job)
        if isinstance(error, ClientDisconnect):
            return Response(status_code=400)  # which nobody reads
        if isinstance(error, MultiPartException):
            return JSONResponse({"detail": f"{error.message} {FORM_WORDS}"}, 400)
        if isinstance(error, OSError):
            raise StorageError(error) from error
        raise
    answer = _describe(job, served)
    return JSONResponse(answer.model_dump(), 202, {"Location": answer.self})


def _words_of(form: FormData) -> dict[str, str]:
    """Return what the fields beside the files say.

    Raises:
        InputError: a field is not known, or a switch says neither yes nor no.
    """
    known = (*SERIES, *SWITCHES)
    for name in form:
        if name not in (*known, "files"):
            raise InputError(
                f"The fields of an upload are files, {', '.join(known)}, but {name!r} was sent; correct it."
            )
    words = {name: str(form.get(name) or "").strip() for name in known}
    for name in SWITCHES:
        if words[name].lower() not in (*YES, *NO):
            raise InputError(
                f"The field {name} says {' or '.join(YES)}, or {' or '.join(filter(None, NO))}, but "
                f"{words[name]!r} was sent; correct it, or leave it out."
            )
    return words


def _unpack(sent: Sequence[Upload], job: Job, served: Served) -> None:
    with served.jobs.filling(job) as goes:
        save_uploads(sent, job.input, served.settings, goes)
        shutil.rmtree(job.folder / "sent")


@router.get("/api/jobs/{job_id}", tags=["jobs"], responses=UNKNOWN)
def progress(job: Found, served: Here) -> JobInfo:
    """Say how far an upload is, and what was found."""
    return _describe(job, served)


@router.delete("/api/jobs/{job_id}", tags=["jobs"], status_code=204, responses=UNKNOWN)
def delete(job: Found, served: Here) -> None:
    """Delete an upload and all that was found; one at work stops where it is."""
    served.jobs.delete(job)


@router.get("/api/jobs/{job_id}/archive.zip", tags=["jobs"], responses=UNKNOWN)
def archive(job: Found) -> FileResponse:
    """Return all masks, overlays and tables of an upload as a ZIP file."""
    return FileResponse(_packed(job), filename="gliomaseg.zip")


@router.get("/api/jobs/{job_id}/files/{path:path}", tags=["jobs"], responses=UNKNOWN)
def file(job: Found, path: str) -> FileResponse:
    """Return a mask, an overlay or a table."""
    require_known("file", path, _files_of(job))
    return FileResponse(job.output / path, filename=Path(path).name)


@router.get(
    "/api/jobs/{job_id}/studies/{patient}/slices/{number}",
    tags=["jobs"],
    responses=UNKNOWN,
    response_class=Response,
)
def slice_picture(job: Found, patient: str, number: int, outline: bool = True) -> Response:
    """Return a slice, from 1, as PNG, as radiologists look at it."""
    stream = BytesIO()
    Image.fromarray(draw_slice(job, patient, number, outline)).save(stream, "PNG", compress_level=1)
    return Response(stream.getvalue(), media_type="image/png")


def _describe(job: Job, served: Served) -> JobInfo:
    place = f"{served.settings.root_path}/api/jobs/{job.id}"
    state = job.state  # before the results: whoever reads that it is done reads all of them
    results = job.results
    return JobInfo(
        id=job.id,
        state=state,
        ahead=served.jobs.ahead_of(job),
        done=job.done,
        total=job.studies,
        studies=[_study(row, job, place) for row in results.get("studies", [])],
        failed=[Failure(**row) for row in results.get("failed", [])],
        error=job.error if state in ENDED else None,
        notes=[without_folder(one, job) for one in job.notes],
        self=place,
        archive=f"{place}/archive.zip" if state in ENDED and results else None,
    )


def _study(row: dict[str, Any], job: Job, place: str) -> Study:
    patient = str(row["patient"])
    shown = {name: row[name] for name in Study.model_fields if name in row}
    return Study(
        **shown,
        largest_slice=job.largest.get(patient),
        overlay=f"{place}/files/{quote(f'overlays/{patient}.png')}",
        slice=f"{place}/studies/{quote(patient, safe='')}/slices/{{number}}",
        files=[f"{place}/files/{quote(name)}" for name in job.files.get(patient, ())],
    )


def _files_of(job: Job) -> list[str]:
    """Return the names of all that is handed out, within ``output``."""
    patients = [str(row["patient"]) for row in job.results.get("studies", [])]
    masks = [name for patient in patients for name in job.files.get(patient, ())]
    tables = ["results.csv", "results.json"] if job.results and job.state in ENDED else []
    return [*masks, *(f"overlays/{patient}.png" for patient in patients), *tables]


def _packing_of(name: str) -> int:
    """Return how a file is packed: what is compressed already as it is, which takes no time."""
    return zipfile.ZIP_STORED if name.endswith(PACKED) else zipfile.ZIP_DEFLATED


def _packed(job: Job) -> Path:
    """Return a ZIP file of all results, made at the first call."""
    if job.state not in ENDED:
        raise UnknownError(
            f"The archive is there when a job has ended, but this is {job.state}; ask again later."
        )
    if not job.results:
        raise UnknownError(
            "There is no archive, since nothing could be outlined; the job's `error` says why."
        )
    path = job.folder / "archive.zip"
    with job.packing:
        if not path.is_file():
            partial = job.folder / "partial.zip"
            try:
                with zipfile.ZipFile(partial, "w") as packed:
                    for name in _files_of(job):
                        packed.write(job.output / name, name, _packing_of(name))
                partial.replace(path)
            except OSError as error:
                if job.deleted:
                    raise UnknownError("The job has been deleted.") from error
                raise StorageError(error) from error
    return path
