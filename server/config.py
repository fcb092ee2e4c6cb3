"""What can be set, with its default and its bounds. config.toml says the same for people."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

SECRET_CHARACTERS = 32


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _network(text: str) -> str:
    ip_network(text)
    return text


def _base_url(text: str) -> str:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
        raise ValueError('must begin with http:// or https:// and name a host, such as "https://api.example.com"')
    return text.rstrip("/")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


class Server(Section):
    host: Annotated[str, AfterValidator(_not_blank)] = "127.0.0.1"
    port: int = Field(3000, ge=0, le=65535)
    public_url: Annotated[str, AfterValidator(_base_url)] = ""
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]] = []
    cors_origins: list[str] = []


class Auth(Section):
    token_days: int = Field(7, ge=1, le=365)
    code_minutes: int = Field(5, ge=1, le=60)
    phone_per_minute: int = Field(5, ge=1, le=1000)
    address_per_hour: int = Field(20, ge=1, le=1_000_000)


class PlanSettings(Section):
    """`price` in fen, `quota` in generations."""

    id: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    name: str = Field(min_length=1, max_length=60)
    price: int = Field(ge=1, le=100_000_000)
    quota: int = Field(ge=1, le=1_000_000)
    days: int = Field(ge=1, le=3660)
    rollover: bool = True


MONTHLY = PlanSettings(id="monthly", name="月度会员", price=9900, quota=100, days=30)


class Membership(Section):
    plans: list[PlanSettings] = Field([MONTHLY], min_length=1)
    order_minutes: int = Field(30, ge=5, le=120)

    @model_validator(mode="after")
    def _distinct(self) -> Membership:
        ids = [plan.id for plan in self.plans]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two plans have the same id: {', '.join(sorted(ids))}")
        return self


class Cost(Section):
    """Generations a task of each type takes."""

    basic_clean: int = Field(1, ge=1, le=1000)
    model_pose12: int = Field(1, ge=1, le=1000)


class Tasks(Section):
    workers: int = Field(2, ge=0, le=64)
    cost: Cost = Cost()


class Pictures(Section):
    seconds: int = Field(30, ge=1, le=90)
    memory_mb: int = Field(2048, ge=512, le=65536)


def _long_enough(secret: SecretStr) -> SecretStr:
    if 0 < len(secret) < SECRET_CHARACTERS:
        raise ValueError(f"is too short: a secret has at least {SECRET_CHARACTERS} characters")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_long_enough)]


class Metrics(Section):
    """`token` is what a scraper shows. Without one, production answers nobody and development this machine itself."""

    token: Secret = SecretStr("")


class Secrets(Section):
    """`token` signs access tokens, `code` keys the hashes of login codes, `media` signs picture addresses,
    `internal` signs the internal status call. Empty means not given.
    """

    token: Secret = SecretStr("")
    code: Secret = SecretStr("")
    media: Secret = SecretStr("")
    internal: Secret = SecretStr("")


class Config(Section):
    mode: Literal["development", "production"] = "development"
    data: Path = Path("data")
    server: Server = Server()
    auth: Auth = Auth()
    membership: Membership = Membership()
    tasks: Tasks = Tasks()
    pictures: Pictures = Pictures()
    metrics: Metrics = Metrics()
    secrets: Secrets = Secrets()
