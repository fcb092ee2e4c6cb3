"""What would be unsafe about serving people with these settings. Production starts when all of it is mended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from server.settings.model import Settings
from server.settings.types import SECRET_CHARACTERS

WIDEST = {4: 8, 6: 16}  # prefix lengths: 10.0.0.0/8 is somebody's own network, and no other is wider but this one
UNIQUE_LOCAL = IPv6Network("fc00::/7")  # RFC 4193
DISTINCT = 10  # characters; one of 32 random hexadecimal digits has fewer once in ten million times


def unsafe(config: Settings, generated: Mapping[str, str]) -> list[str]:
    """One line for each reason. `generated` are the secrets that development made in the data folder, by name."""
    return [*_secrets(config, generated), *_addresses(config), *_sms(config), *_test_numbers(config)]


def _secrets(config: Settings, generated: Mapping[str, str]) -> Iterator[str]:
    needed = {f"secrets.{name}": secret for name, secret in dict(config.secrets).items()}
    optional = {"metrics.token": config.metrics.token, "sms.webhook.secret": config.sms.webhook.secret}
    seen: dict[str, str] = {}
    for key, secret in {**needed, **optional}.items():
        text = secret.get_secret_value()
        if not text and key in needed:
            yield (
                f"{key}: production needs a secret of at least {SECRET_CHARACTERS} characters; "
                f"set DARKROOM__{key.replace('.', '__').upper()}, for example to the output of: openssl rand -hex 32"
            )
        elif text and text in generated.values():
            yield f"{key}: is one that development generated; production needs one of its own"
        elif text and len(set(text)) < DISTINCT:
            yield f"{key}: is easily guessed: it has fewer than {DISTINCT} different characters"
        elif text and text in seen:
            yield f"{key}: is the same as {seen[text]}; whoever learns one must not have the other"
        seen.setdefault(text, key)


def _addresses(config: Settings) -> Iterator[str]:
    if not config.server.public_url:
        yield 'server.public_url: production needs the address people reach it by, such as "https://api.example.com"'
    elif not _is_confidential(config.server.public_url):
        yield "server.public_url: begins with http://, so tokens and pictures could be read on their way; use https://"
    for proxy in config.server.trusted_proxies:
        network = ip_network(proxy)
        own = isinstance(network, IPv6Network) and network.subnet_of(UNIQUE_LOCAL)
        if network.prefixlen < WIDEST[network.version] and not own:
            yield f"server.trusted_proxies: {proxy} is half the world, which could then choose what address limits see"


def _sms(config: Settings) -> Iterator[str]:
    sms = config.sms
    match sms.sender:
        case "":
            yield 'sms.sender: nobody could log in; choose "tencent", "aliyun" or "webhook"'
        case "sandbox":
            yield "sms.sender: the sandbox shows everybody's login codes to everybody, and is for development only"
        case "tencent" if not _is_confidential(sms.tencent.endpoint):
            yield "sms.tencent.endpoint: begins with http://, so login codes could be read on their way; use https://"
        case "aliyun" if not _is_confidential(sms.aliyun.endpoint):
            yield "sms.aliyun.endpoint: begins with http://, so login codes could be read on their way; use https://"
        case "webhook" if not _is_confidential(sms.webhook.url):
            yield "sms.webhook.url: begins with http://, so login codes could be read on their way; use https://"


def _test_numbers(config: Settings) -> Iterator[str]:
    for number in config.auth.test_numbers:
        if number.until is None:
            yield f"auth.test_numbers: {number.phone} needs a day `until` which its fixed code lets people in"


def _is_confidential(url: str) -> bool:
    """Encrypted, or never leaving this machine. An address that is missing is another fault's business."""
    parts = urlsplit(url)
    if not url or parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
