"""What can be set, with its default and its bounds. config.toml says the same for people."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from server.settings.types import BaseUrl, LoginCode, Network, NotBlank, Origin, Phone, Secret, Template, WebAddress


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Server(Section):
    host: NotBlank = "127.0.0.1"
    port: int = Field(3000, ge=0, le=65535)
    public_url: BaseUrl = ""
    trusted_proxies: list[Network] = []
    cors_origins: list[Origin] = []


class TestNumber(Section):
    """A phone that gets no message and always has the same login code, up to and with the day `until` (UTC)."""

    __test__ = False  # not for pytest, whatever its name

    phone: Phone
    code: LoginCode
    until: date | None = None


class Auth(Section):
    """Limits count login codes sent. `failures` wrong codes in a row lock a phone for `lock_minutes`.

    Whoever raises the limit of a minute or of an address means to let more through, so wider limits follow it unless
    they are set themselves. The day's ceiling follows nothing: it is what the messages may cost.
    """

    token_days: int = Field(7, ge=1, le=365)
    refresh_days: int = Field(30, ge=1, le=3650)
    code_minutes: int = Field(5, ge=1, le=60)
    phone_per_minute: int = Field(5, ge=1, le=1000)
    phone_per_hour: int = Field(default_factory=lambda given: 2 * given.get("phone_per_minute", 5), ge=1, le=10_000)
    phone_per_day: int = Field(default_factory=lambda given: 4 * given.get("phone_per_minute", 5), ge=1, le=100_000)
    address_per_hour: int = Field(20, ge=1, le=1_000_000)
    prefix_per_hour: int = Field(
        default_factory=lambda given: 10 * given.get("address_per_hour", 20), ge=1, le=10_000_000
    )
    codes_per_day: int = Field(5000, ge=1, le=10_000_000)
    failures: int = Field(100, ge=1, le=100_000)
    lock_minutes: int = Field(60, ge=1, le=10_080)
    signup_quota: int = Field(0, ge=0, le=1_000_000)
    test_numbers: list[TestNumber] = []

    @field_validator("test_numbers")
    @classmethod
    def _distinct(cls, numbers: list[TestNumber]) -> list[TestNumber]:
        phones = [number.phone for number in numbers]
        if len(set(phones)) < len(phones):
            raise ValueError("the same phone stands there twice")
        return numbers


class TencentSms(Section):
    """`template_params` fill the template's {1}, {2} … in this order."""

    secret_id: str = ""
    secret_key: SecretStr = SecretStr("")
    app_id: str = ""
    sign_name: str = ""
    template_id: str = ""
    template_params: list[Template] = ["{code}", "{minutes}"]
    region: str = "ap-guangzhou"
    endpoint: BaseUrl = "https://sms.tencentcloudapi.com"


class AliyunSms(Section):
    """`template_param` fills the template's variables, by name."""

    access_key_id: str = ""
    access_key_secret: SecretStr = SecretStr("")
    sign_name: str = ""
    template_code: str = ""
    template_param: dict[str, Template] = {"code": "{code}"}
    endpoint: BaseUrl = "https://dysmsapi.aliyuncs.com"


class WebhookSms(Section):
    """`secret` signs the calls."""

    url: WebAddress = ""
    secret: Secret = SecretStr("")


class Sms(Section):
    """`sender` empty means the sandbox in development, and nothing that production would start with."""

    sender: Literal["", "sandbox", "tencent", "aliyun", "webhook"] = ""
    tencent: TencentSms = TencentSms()
    aliyun: AliyunSms = AliyunSms()
    webhook: WebhookSms = WebhookSms()


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

    @field_validator("plans")
    @classmethod
    def _distinct(cls, plans: list[PlanSettings]) -> list[PlanSettings]:
        ids = [plan.id for plan in plans]
        if len(set(ids)) < len(ids):
            raise ValueError(f"two plans have the same id: {', '.join(sorted(ids))}")
        return plans


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


class Settings(Section):
    mode: Literal["development", "production"] = "development"
    data: Path = Path("data")
    server: Server = Server()
    auth: Auth = Auth()
    sms: Sms = Sms()
    membership: Membership = Membership()
    tasks: Tasks = Tasks()
    pictures: Pictures = Pictures()
    metrics: Metrics = Metrics()
    secrets: Secrets = Secrets()
