"""From what is wrong to what the wire says: one code, one status and the words for each kind of error."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors import errors as kinds
from actors.errors import DomainError
from server.http.language import Text
from server.http.messages import problem


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    code: int
    status: int
    text: Text


class RequestRefused(Exception):
    """A request refused by the edge itself, with its words ready. `retry_after` in seconds."""

    def __init__(self, meaning: ErrorSpec, *, retry_after: int | None = None) -> None:
        super().__init__(meaning.text.en)
        self.meaning, self.retry_after = meaning, retry_after


@dataclass(frozen=True, slots=True)
class Failure:
    """What is answered: `message` is for the person."""

    code: int
    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


_MEANINGS: dict[type[Exception], ErrorSpec] = {
    kinds.NotLoggedIn: ErrorSpec(
        1001, 401, Text("请先登录，或登录已过期", "Please log in; the token is missing, invalid or expired")
    ),
    kinds.NotMember: ErrorSpec(1002, 403, Text("请先开通会员", "This needs a membership; buy one first")),
    kinds.QuotaInsufficient: ErrorSpec(
        1003,
        403,
        Text(
            "剩余次数不足：需要 {needed} 次，剩余 {remaining} 次", "Not enough quota: {needed} needed, {remaining} left"
        ),
    ),
    kinds.UserNotFound: ErrorSpec(1004, 404, Text("用户不存在", "There is no such user")),
    # Rows of orders and balances refer to people: a token outlives its person when an old backup is restored.
    kinds.MissingReference: ErrorSpec(1004, 404, Text("用户不存在", "There is no such user")),
    kinds.Banned: ErrorSpec(1005, 403, Text("账号已被停用", "This account has been closed")),
    kinds.PhoneInvalid: ErrorSpec(
        2000,
        400,
        Text(
            "手机号格式不正确，应为 11 位中国大陆手机号",
            "Not a mainland China mobile number (11 digits, such as 13800138000)",
        ),
    ),
    kinds.CodeWrong: ErrorSpec(
        2001, 400, Text("验证码错误或已失效，请重新获取", "The code is wrong, used or expired; ask for a new one")
    ),
    kinds.CodeInvalid: ErrorSpec(2002, 400, Text("验证码应为 6 位数字", "A code has six digits")),
    kinds.TooManyCodesForPhone: ErrorSpec(
        2004,
        429,
        Text(
            "该手机号获取验证码过于频繁，请在 {retry_after} 秒后重试",
            "Too many codes for this phone; try again in {retry_after} s",
        ),
    ),
    kinds.TooManyCodesForAddress: ErrorSpec(
        2005,
        429,
        Text(
            "请求过于频繁，请在 {retry_after} 秒后重试",
            "Too many requests from this address; try again in {retry_after} s",
        ),
    ),
    kinds.TooManyCodes: ErrorSpec(
        2006,
        429,
        Text(
            "验证码发送量过大，请在 {retry_after} 秒后重试",
            "Too many codes are being sent; try again in {retry_after} s",
        ),
    ),
    kinds.LoginLocked: ErrorSpec(
        2007,
        429,
        Text(
            "该手机号验证码错误次数过多，请在 {retry_after} 秒后重试",
            "Too many wrong codes for this phone; try again in {retry_after} s",
        ),
    ),
    kinds.TooManyRefreshes: ErrorSpec(
        2009,
        429,
        Text("刷新过于频繁，请在 {retry_after} 秒后重试", "Refreshed too often; try again in {retry_after} s"),
    ),
    kinds.PhoneRefused: ErrorSpec(
        2008, 400, Text("短信无法送达该手机号，请检查号码", "No message can be delivered to this number; check it")
    ),
    kinds.BadParameter: ErrorSpec(4001, 400, Text("参数 {field} 有误：{problem}", "Parameter {field}: {problem}")),
    kinds.UnknownTaskType: ErrorSpec(
        4001,
        400,
        Text("不支持的任务类型 {type}，可用：{known}", "Task type {type} is not available; available: {known}"),
    ),
    kinds.NotAllowed: ErrorSpec(4003, 403, Text("无权访问", "This is not yours, or not allowed")),
    kinds.LinkInvalid: ErrorSpec(
        4003, 403, Text("链接无效或已过期", "This link was altered or has expired; get a new one")
    ),
    kinds.TaskNotFound: ErrorSpec(4004, 404, Text("任务不存在", "There is no such task")),
    kinds.FileMissing: ErrorSpec(4004, 404, Text("文件不存在，请先上传", "There is no such file; upload it first")),
    kinds.TaskFinished: ErrorSpec(
        4009,
        409,
        Text("任务已结束（{status}），状态不能再变", "The task is finished ({status}); its state never changes again"),
    ),
    kinds.TooLarge: ErrorSpec(4013, 413, Text("文件过大，上限为 {limit}", "Too large; the limit is {limit}")),
    kinds.NotAnImage: ErrorSpec(4015, 415, Text("{problem}", "{problem}")),
    kinds.IdempotencyKeyReused: ErrorSpec(
        4022, 422, Text("同一个 Idempotency-Key 已用于不同的请求", "This Idempotency-Key was used with another body")
    ),
    kinds.OrderNotFound: ErrorSpec(5002, 404, Text("订单不存在", "There is no such order")),
    kinds.OrderEnded: ErrorSpec(
        4009,
        409,
        Text(
            "订单已结束（{status}），请使用新的 Idempotency-Key 重新下单",
            "The order has ended ({status}); order again with a new Idempotency-Key",
        ),
    ),
    kinds.UnknownChannel: ErrorSpec(
        5003,
        400,
        Text("不支持的支付渠道 {channel}，可用：{known}", "Unknown payment channel {channel}; available: {known}"),
    ),
    kinds.UnknownPlan: ErrorSpec(
        5003, 400, Text("套餐 {plan} 不存在，可用：{known}", "Unknown plan {plan}; available: {known}")
    ),
    kinds.SignatureInvalid: ErrorSpec(5004, 401, Text("回调签名无效", "The callback's signature is invalid")),
    kinds.PaymentMismatch: ErrorSpec(
        4009, 409, Text("支付结果与订单不符", "The payment does not fit the order: {problem}")
    ),
    kinds.Overloaded: ErrorSpec(
        9003, 503, Text("服务繁忙，请在 {retry_after} 秒后重试", "The server is busy; try again in {retry_after} s")
    ),
    kinds.ServiceUnavailable: ErrorSpec(
        9003,
        503,
        Text(
            "外部服务 {service} 暂不可用，请在 {retry_after} 秒后重试",
            "The outside service {service} is not available; try again in {retry_after} s",
        ),
    ),
    kinds.StorageError: ErrorSpec(
        9003,
        503,
        Text("存储暂不可用，未做任何更改，请重试", "Storage is not available; nothing was changed, try again"),
    ),
    kinds.CommitFailed: ErrorSpec(
        9003,
        503,
        Text(
            "结果未知，请使用相同的 Idempotency-Key 重试",
            "The outcome is not known; try again with the same Idempotency-Key",
        ),
    ),
}

_INTERNAL = ErrorSpec(9999, 500, Text("服务器内部错误", "Internal error"))

_HTTP = {
    400: Text(
        "请求不是有效的 HTTP，或请求行、请求头过长",
        "Not a valid HTTP request, or its first line or a header is too long",
    ),
    404: Text("接口不存在", "There is nothing at this path"),
    405: Text("不支持该请求方法", "This method is not allowed here"),
    408: Text("请求超时", "The request took too long to arrive"),
    417: Text("不支持该 Expect 请求头", "This expectation cannot be met"),
    413: Text("请求体过大", "The request's body is too large"),
}


def failure_of(fault: Exception, english: bool) -> Failure:
    """The answer to any exception; one without a meaning is an internal error, told without detail."""
    if isinstance(fault, RequestRefused):
        return _failure(fault.meaning, fault.meaning.text.render(english), fault.retry_after)
    meaning = _MEANINGS.get(type(fault), _INTERNAL)
    facts = dict(fault.facts) if isinstance(fault, DomainError) else {}
    if isinstance(facts.get("problem"), str):
        facts["problem"] = problem(str(facts["problem"]), english)
    retry_after = facts.get("retry_after")
    return _failure(
        meaning, meaning.text.render(english, **facts), retry_after if isinstance(retry_after, int) else None
    )


def http_failure(status: int, reason: str, english: bool) -> Failure:
    """The answer to what aiohttp itself refuses; the code is the status where api.md gives it no other."""
    text = _HTTP.get(status, Text(reason, reason))
    return Failure(4013 if status == 413 else status, status, text.render(english))


def _failure(meaning: ErrorSpec, message: str, retry_after: int | None) -> Failure:
    headers = {}
    if retry_after is not None or meaning.status in (429, 503):
        headers["Retry-After"] = str(retry_after or 1)
    return Failure(meaning.code, meaning.status, message, headers)
