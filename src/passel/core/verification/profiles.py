"""What an organisation may use: the plans of the record as profiles of limits (section 8, D4 of the `check` contract). Pure."""

from dataclasses import dataclass

from passel.core.verification import BIPRM, ENSEMBLE, ENTROPY, METHODS, REASONING, SEMANTIC, TOOL

FREE, PRO, ENTERPRISE, UNLIMITED = "free", "pro", "enterprise", "unlimited"

_MB = 1024 * 1024
_OF_FREE = (SEMANTIC, REASONING)
_OF_PRO = (*_OF_FREE, TOOL, BIPRM, ENSEMBLE, ENTROPY)


@dataclass(frozen=True, slots=True)
class Profile:
    """`batch_items` is 0 where there are no batches. Uploaded files are kept for `file_hours`, results of batches for
    `result_days`. None leaves it to the server's own limit."""

    name: str
    methods: tuple[str, ...]
    batch_items: int | None = None
    upload_bytes: int | None = None
    file_hours: float | None = None
    result_days: float | None = None

    @property
    def has_batches(self) -> bool:
        return self.batch_items != 0


PROFILES = {
    one.name: one
    for one in (
        Profile(FREE, _OF_FREE, batch_items=0, upload_bytes=0, file_hours=1, result_days=30),
        Profile(PRO, _OF_PRO, batch_items=1000, upload_bytes=10 * _MB, file_hours=1, result_days=30),
        Profile(ENTERPRISE, METHODS, batch_items=10_000, upload_bytes=100 * _MB, file_hours=24, result_days=90),
        Profile(UNLIMITED, METHODS),
    )
}
