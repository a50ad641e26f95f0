"""Uploaded files."""

from typing import Annotated

from fastapi import APIRouter, Depends, UploadFile
from fastapi import File as FilePart
from starlette.responses import Response

from passel.core.errors import TooLarge
from passel.faces.dari import responses
from passel.faces.kit.auth import current_caller
from passel.faces.kit.json import json_response
from passel.services import files
from passel.services.deps import Caller, Deps


def router(deps: Deps) -> APIRouter:
    routes = APIRouter(prefix="/v1/files", tags=["files"])

    @routes.post("", status_code=201)
    async def upload(file: Annotated[UploadFile, FilePart()], caller: Caller = Depends(current_caller)) -> Response:
        if file.size is not None and file.size > deps.limits.file_bytes:
            raise TooLarge(f"a file may have {deps.limits.file_bytes} bytes")
        stored = await files.upload(deps, caller, file.filename or "file", await file.read())
        return json_response(responses.file(stored), 201)

    return routes
