"""Settings: config.toml and DARKROOM__SECTION__NAME variables, parsed once, every fault listed."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from server.secrets import load_or_generate

PREFIX = "DARKROOM__"
DEFAULT_FILE = Path("config.toml")
SECRET_CHARACTERS = 32


class ConfigError(Exception):
    """`faults` has one line for each key that is wrong."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


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
    secrets: Secrets = Secrets()


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings, and the source of each key that is not at its default."""

    config: Config
    sources: Mapping[str, str]

    def source(self, key: str) -> str:
        return self.sources.get(key, "default")


def load(file: Path | None, overrides: Mapping[str, Any]) -> Loaded:
    """Command line over environment over file over defaults. Raises ConfigError with every fault found.

    `file` None means ./config.toml, which may be absent; a file that is named has to exist. In development, secrets
    that are not given are read from the data folder, and generated there first where they are missing.
    """
    merged: dict[str, Any] = {}
    sources: dict[str, str] = {}
    environment, faults = _from_environment()
    for origin, values in (
        (str(file or DEFAULT_FILE), _from_file(file)),
        ("environment", environment),
        ("command line", overrides),
    ):
        _merge(merged, values)
        sources |= {key: origin for key, _ in _leaves(values)}
    config = _validated(merged, faults)
    if config.mode == "development":
        generated = load_or_generate(config.data, _not_given(dict(config.secrets)))
        _merge(merged, {"secrets": generated})
        sources |= {f"secrets.{name}": str(config.data / "secrets.toml") for name in generated}
        config = _validated(merged, [])
    return Loaded(config, sources)


def effective(config: Config) -> Iterator[tuple[str, str]]:
    """Every key with its value as text, secrets masked."""
    for key, value in _leaves(config.model_dump()):
        yield key, str(value)


def _from_file(file: Path | None) -> dict[str, Any]:
    path = file or DEFAULT_FILE
    if not path.is_file():
        if file is None:
            return {}
        raise ConfigError([f"--config: there is no file {file}"])
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except ValueError as fault:  # not UTF-8, or not TOML
        raise ConfigError([f"{path}: not valid TOML: {fault}"]) from None


def _from_environment() -> tuple[dict[str, Any], list[str]]:
    """The settings among the environment's variables, and a fault for each variable that names none."""
    values: dict[str, Any] = {}
    faults = []
    for name, text in sorted(os.environ.items()):
        if not name.startswith(PREFIX):
            continue
        path = name[len(PREFIX) :].lower().split("__")
        if not _known(path):
            faults.append(f"{name}: there is no such setting")
            continue
        value: Any = _parsed(text)
        for part in reversed(path):
            value = {part: value}
        _merge(values, value)
    return values, faults


def _known(path: Sequence[str]) -> bool:
    model: Any = Config
    for part in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)) or part not in model.model_fields:
            return False
        model = model.model_fields[part].annotation
    return True


def _parsed(text: str) -> Any:
    """Lists and tables are written as JSON; what is not JSON is left to the setting's own check."""
    if text.startswith(("[", "{")):
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text


def _validated(values: Mapping[str, Any], faults: Sequence[str]) -> Config:
    try:
        config = Config.model_validate(values)
    except ValidationError as invalid:
        found = [_fault_line(error) for error in invalid.errors(include_url=False)]
        raise ConfigError([*faults, *found, *_missing_secrets(values)]) from None
    if found := [*faults, *_missing_secrets(config.model_dump())]:
        raise ConfigError(found)
    return config


def _fault_line(error: Any) -> str:
    """`server.port: Input should be less than or equal to 65535 (got 70000)`, without ever showing a secret."""
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: there is no such setting"
    got = "" if key.startswith("secrets") or isinstance(error["input"], dict | list) else f" (got {error['input']!r})"
    return f"{key}: {error['msg'].removeprefix('Value error, ')}{got}"


def _not_given(secrets: Mapping[str, Any]) -> list[str]:
    return [name for name in Secrets.model_fields if secrets.get(name, "") in ("", SecretStr(""))]


def _missing_secrets(values: Mapping[str, Any]) -> list[str]:
    """Works on settings that are not valid yet, so that these faults are told together with the others."""
    secrets = values.get("secrets", {})
    if values.get("mode") != "production" or not isinstance(secrets, dict):
        return []
    return [
        f"secrets.{name}: production needs a secret of at least {SECRET_CHARACTERS} characters; "
        f"set {PREFIX}SECRETS__{name.upper()}, for example to the output of: openssl rand -hex 32"
        for name in _not_given(secrets)
    ]


def _merge(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
