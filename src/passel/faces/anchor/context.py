"""What routes of this face work with beside `passel.faces.kit.context`."""

from typing import Annotated

from fastapi import Depends, Request

from passel.services.browser.reach import Reach


async def _current_reach(request: Request) -> Reach:
    return request.app.state.reach


ReachIn = Annotated[Reach, Depends(_current_reach)]
