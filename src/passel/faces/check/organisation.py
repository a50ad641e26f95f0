"""What an organisation keeps, in this wire format: its settings, its keys and those of model providers."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from passel.faces.check.requests import parse
from passel.faces.kit.json import timestamp
from passel.services.accounts import ApiKey, Credential
from passel.services.verification.settings import OrgSettings

Body = dict[str, Any]


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class CalibratorFields(_Fields):
    a: float
    b: float
    version: str = Field(max_length=100)
    claims: int = Field(ge=0)


class SettingsFields(_Fields):
    profile: str = "unlimited"
    model: str | None = None
    baseUrl: str | None = None
    panel: list[str] = Field(default_factory=list[str], max_length=10)
    monthlyLimit: int | None = None
    review: bool = True
    calibrators: dict[str, CalibratorFields] = Field(default_factory=dict[str, CalibratorFields], max_length=10)


class ProviderKeyFields(_Fields):
    key: str


class KeyFields(_Fields):
    name: str = Field(min_length=1, max_length=255)


_NAMES = {"baseUrl": "base_url", "monthlyLimit": "monthly_limit"}


def settings_request(body: Body) -> dict[str, Any]:
    """The fields that were given, in the words of `OrgSettings`. Raises `Unprocessable`."""
    given = parse(SettingsFields, body).model_dump(exclude_unset=True)
    if "panel" in given:
        given["panel"] = tuple(given["panel"])
    return {_NAMES.get(name, name): value for name, value in given.items()}


def settings_body(chosen: OrgSettings) -> Body:
    return {
        "profile": chosen.profile,
        "model": chosen.model,
        "baseUrl": chosen.base_url,
        "panel": list(chosen.panel),
        "monthlyLimit": chosen.monthly_limit,
        "review": chosen.review,
        "calibrators": chosen.calibrators,
    }


def provider_key(provider: str, known: Credential) -> Body:
    return {"provider": provider, "createdAt": timestamp(known.created_at), "updatedAt": timestamp(known.updated_at)}


def api_key(key: ApiKey) -> Body:
    return {
        "id": key.id,
        "name": key.label,
        "prefix": key.prefix,
        "createdAt": timestamp(key.created_at),
        "lastUsedAt": timestamp(key.last_used_at),
        "revokedAt": timestamp(key.revoked_at),
    }
