"""MONAI Label's web server, with one clear sentence where a request cannot be met."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from monailabel.app import app
from monailabel.config import settings
from monailabel.interfaces.exception import MONAILabelException
from monailabel.interfaces.utils.app import app_instance

from ...workflows.system.files import InputError
from ..callers import refusal_of
from ..refusals import UnknownError

__all__ = ["app"]


def answer(request: Request, error: Exception) -> JSONResponse:
    """Return the sentence: 404 for a name that nothing has, 422 for anything else that was wrong."""
    words = getattr(error, "msg", None) or str(error)
    return JSONResponse({"detail": words}, status_code=404 if isinstance(error, UnknownError) else 422)


def answer_broken(request: Request, error: Exception) -> JSONResponse:
    """Return the sentence for ``params`` that MONAI Label could not read."""
    words = f"`params` is JSON, such as {{}}, but: {error}; put quotes around its names."
    return JSONResponse({"detail": words}, status_code=422)


async def _options(request: Request) -> Mapping[str, Any]:
    """Return the options of a training; without any, none."""
    try:
        options = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise InputError(f"The options of a training are JSON, but: {error}.") from error
    return options if isinstance(options, Mapping) else {}


async def refuse_other_pages(request: Request, go_on: Callable[[Request], Awaitable[Any]]) -> Response:
    """Answer programs and the server's own pages only: whoever asks, there is no password."""
    bound = (settings.MONAI_LABEL_APP_CONF or {}).get("host", "127.0.0.1")
    words = refusal_of(request.method, request.headers, bound)
    if words is not None:
        return JSONResponse({"detail": words}, status_code=403)
    response: Response = await go_on(request)
    return response


async def refuse_at_once(request: Request, go_on: Callable[[Request], Awaitable[Any]]) -> Response:
    """Check what MONAI Label would only start in the background, where nobody hears an error."""
    _, _, path = request.url.path.partition("/")
    kind, _, name = path.partition("/")
    try:
        if request.method == "POST" and kind == "train":
            if name:  # without one, MONAI Label trains all there are
                app_instance().require_model(name)
            app_instance().require_trainable(await _options(request))
        if request.method == "POST" and kind == "scoring" and name:
            app_instance().require_scoring(name)
        if request.method == "POST" and path.startswith("batch/infer/"):
            app_instance().require_model(path.rpartition("/")[2])
    except InputError as error:
        return answer(request, error)
    response: Response = await go_on(request)
    return response


# MONAI Label lets every web page that the browser shows read the answers; its own pages need no such leave.
app.user_middleware = [one for one in app.user_middleware if one.cls is not CORSMiddleware]
app.add_exception_handler(InputError, answer)
app.add_exception_handler(MONAILabelException, answer)
app.add_exception_handler(json.JSONDecodeError, answer_broken)
app.middleware("http")(refuse_at_once)
app.middleware("http")(refuse_other_pages)  # the last one added is asked first
