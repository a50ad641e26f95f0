"""Query parameters that several lists share."""

from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator

MOST = 1000
UNPAGED = 10_000
"""So many entries has a list whose clients read without paging; it says when there are more."""

Limit = Annotated[int, Query(ge=1, description="At most so many entries; above 1000 means 1000."), AfterValidator(lambda n: min(n, MOST))]
OptionalLimit = Annotated[
    int | None, Query(ge=1, description="At most so many entries; above 1000 means 1000."), AfterValidator(lambda n: n and min(n, MOST))
]
After = Annotated[str | None, Query(max_length=200, description="The last id of the page before.")]
