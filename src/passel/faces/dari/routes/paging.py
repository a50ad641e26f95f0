"""Query parameters that several lists share."""

from typing import Annotated

from fastapi import Query

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many entries.")]
After = Annotated[str | None, Query(max_length=200, description="The last id of the page before.")]
