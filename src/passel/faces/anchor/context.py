"""What routes of this face work with beside `passel.faces.kit.context`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from passel.html import HtmlReader
from passel.services.browser.reach import Reach


@dataclass(frozen=True, slots=True)
class Readers:
    """What makes text of pages and of PDFs."""

    markdown: HtmlReader
    pdf: HtmlReader


async def _current_reach(request: Request) -> Reach:
    return request.app.state.reach


ReachIn = Annotated[Reach, Depends(_current_reach)]
