"""All settings with their defaults and bounds. docs/settings.md and config.toml describe them for operators."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Network, ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from actors.auth.settings import AuthSettings
from actors.membership.settings import MembershipSettings
from actors.settings import Problem, Section
from actors.task.settings import TaskSettings
from server.gateways.pictures.settings import PictureSettings
from server.gateways.setting_types import BaseUrl, Secret, is_encrypted
from server.gateways.sms.settings import SmsSettings
from server.settings.types import Network, NotBlank, Origin

WIDEST_PREFIX = {4: 8, 6: 16}  # the shortest prefix of a trusted network: 10.0.0.0/8 is the widest private network
UNIQUE_LOCAL = IPv6Network("fc00::/7")  # RFC 4193; private although it is wider than WIDEST_PREFIX


class ServerSettings(Section):
    """The section `[server]`."""

    host: NotBlank = "127.0.0.1"
    port: int = Field(3000, ge=0, le=65535)
    public_url: BaseUrl = ""
    trusted_proxies: list[Network] = []
    cors_origins: list[Origin] = []

    def production_problems(self) -> Iterator[Problem]:
        if not self.public_url:
            yield "public_url", 'is required: the URL at which users reach the server, "https://api.example.com"'
        elif not is_encrypted(self.public_url):
            yield (
                "public_url",
                "begins with http://, so others on the network could read tokens and pictures; use https://",
            )
        for proxy in self.trusted_proxies:
            network = ip_network(proxy)
            is_private = isinstance(network, IPv6Network) and network.subnet_of(UNIQUE_LOCAL)
            if network.prefixlen < WIDEST_PREFIX[network.version] and not is_private:
                yield (
                    "trusted_proxies",
                    f"{proxy} is too wide: a client in it could forge the address that rate limits use",
                )


class MetricsSettings(Section):
    """The section `[metrics]`. `token` is the bearer token of a scraper.

    Without a token, /metrics is closed in production, and open to this machine itself in development.
    """

    token: Secret = SecretStr("")


class SecretSettings(Section):
    """The section `[secrets]`: the secrets of the server. An empty text means that the secret is not set.

    `token` signs access tokens, `code` is the key for the hashes of login codes, `media` signs the URLs of pictures,
    `internal` signs the status calls of external workers, and in development the notifications of the sandbox.
    """

    token: Secret = SecretStr("")
    code: Secret = SecretStr("")
    media: Secret = SecretStr("")
    internal: Secret = SecretStr("")


class Settings(Section):
    """All sections of the settings."""

    mode: Literal["development", "production"] = "development"
    data: Path = Path("data")
    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    sms: SmsSettings = SmsSettings()
    membership: MembershipSettings = MembershipSettings()
    tasks: TaskSettings = TaskSettings()
    pictures: PictureSettings = PictureSettings()
    metrics: MetricsSettings = MetricsSettings()
    secrets: SecretSettings = SecretSettings()

    def problems(self) -> Iterator[Problem]:
        for name, section in self._sections():
            yield from _with_prefix(name, section.problems())

    def production_problems(self) -> Iterator[Problem]:
        for name, section in self._sections():
            yield from _with_prefix(name, section.production_problems())

    def _sections(self) -> Iterator[tuple[str, Section]]:
        return ((name, value) for name, value in self if isinstance(value, Section))


def _with_prefix(name: str, problems: Iterator[Problem]) -> Iterator[Problem]:
    return ((f"{name}.{key}", problem) for key, problem in problems)
