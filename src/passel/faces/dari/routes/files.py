"""Uploaded files."""

from typing import Annotated

from fastapi import APIRouter, UploadFile
from fastapi import File as FilePart
from starlette.responses import Response

from passel.core.errors import TooLarge, Unprocessable
from passel.faces.dari import responses
from passel.faces.kit.context import CallerIn, DepsIn
from passel.faces.kit.json import json_response
from passel.services import files

routes = APIRouter(prefix="/v1/files", tags=["files"])


@routes.post("", status_code=201)
async def upload(file: Annotated[list[UploadFile], FilePart()], deps: DepsIn, caller: CallerIn) -> Response:
    """One part named `file`."""
    if len(file) != 1:
        raise Unprocessable(f"there are {len(file)} parts named file: send one", field="file")
    if file[0].size is not None and file[0].size > deps.limits.file_bytes:
        raise TooLarge(f"a file may have {deps.limits.file_bytes} bytes")
    stored = await files.upload(deps, caller, file[0].filename or "file", await file[0].read())
    return json_response(responses.file(stored), 201)
