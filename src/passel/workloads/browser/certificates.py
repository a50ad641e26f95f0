"""Authorities that a session trusts beside those that Chromium does, as its profile is told before it starts."""

import asyncio
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passel.core.browser.certificates import Certificates
from passel.core.browser.configuration import Configuration
from passel.core.context import Task
from passel.workloads.browser.chromium import CannotStart

_FILE = "trusted.json"


@dataclass(frozen=True, slots=True)
class Trust:
    """Of a worker."""

    certificates: Certificates

    async def place(self, task: Task, configuration: Configuration, directory: Path) -> None:
        """Raises `CannotStart` for one that is not there any more."""
        if not configuration.certificates:
            return
        found = await self.certificates.fetch(task.org_id, configuration.certificates)
        for number, name in enumerate(configuration.certificates):
            if name not in found:
                raise CannotStart(f"browser.certificates.{number}: the certificate {name} has been deleted")
        texts = [base64.b64encode(der).decode() for der in found.values()]
        await asyncio.to_thread((directory / _FILE).write_text, json.dumps(texts))


def settings_of(directory: Path) -> dict[str, Any]:
    """The part `certificates` of a profile's preferences."""
    path = directory / _FILE
    if not path.exists():
        return {}
    return {"certificates": {"ca_certificates": json.loads(path.read_text())}}
