"""The error table: the code, the HTTP status and the text of every domain error, and the failures made of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from actors import errors
from actors.errors import DomainError
from server.http.language import Text
from server.http.messages import problem_text


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """How one kind of error is answered. The placeholders of `text` are facts of the error."""

    code: int
    status: int
    text: Text


class RequestRefused(Exception):
    """A request that the HTTP layer itself refuses."""

    def __init__(self, spec: ErrorSpec) -> None:
        super().__init__(spec.text.en)
        self.spec = spec


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed response before it is written: `message` is for the user."""

    code: int
    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


_SPECS: dict[type[Exception], ErrorSpec] = {
    errors.NotLoggedIn: ErrorSpec(
        1001,
        401,
        Text("未登录或登录已过期，请重新登录", "You are not logged in, or your login has expired; log in again"),
    ),
    errors.NotMember: ErrorSpec(
        1002, 403, Text("该操作需要会员，请先开通会员", "This requires a membership; buy a membership first")
    ),
    errors.QuotaInsufficient: ErrorSpec(
        1003,
        403,
        Text(
            "剩余次数不足：需要 {needed} 次，剩余 {remaining} 次，请续费后再试",
            "Not enough quota: {needed} needed, {remaining} left; renew your membership",
        ),
    ),
    errors.UserNotFound: ErrorSpec(1004, 404, Text("用户不存在", "User not found")),
    # Rows of orders and balances refer to users. After an old backup is restored, a token may belong to a missing user.
    errors.MissingReference: ErrorSpec(1004, 404, Text("用户不存在", "User not found")),
    errors.Banned: ErrorSpec(
        1005,
        403,
        Text(
            "账号已被停用，如有疑问请联系客服", "This account has been suspended; contact support if you have questions"
        ),
    ),
    errors.PhoneInvalid: ErrorSpec(
        2000,
        400,
        Text(
            "手机号格式不正确，应为 11 位中国大陆手机号",
            "The phone number must be a mainland China mobile number of 11 digits, such as 13800138000",
        ),
    ),
    errors.CodeWrong: ErrorSpec(
        2001,
        400,
        Text("验证码错误、已使用或已过期，请重新获取", "The code is wrong, used or expired; request a new one"),
    ),
    errors.CodeInvalid: ErrorSpec(2002, 400, Text("验证码应为 6 位数字", "The code must have 6 digits")),
    errors.TooManyCodesForPhone: ErrorSpec(
        2004,
        429,
        Text(
            "该手机号获取验证码过于频繁，请在 {retry_after} 秒后重试",
            "Too many codes were requested for this phone; try again in {retry_after} s",
        ),
    ),
    errors.TooManyCodesForAddress: ErrorSpec(
        2005,
        429,
        Text(
            "当前网络获取验证码过于频繁，请在 {retry_after} 秒后重试",
            "Too many codes were requested from this network address; try again in {retry_after} s",
        ),
    ),
    errors.TooManyCodes: ErrorSpec(
        2006,
        429,
        Text(
            "当前验证码发送量过大，请在 {retry_after} 秒后重试",
            "Too many codes are being sent at the moment; try again in {retry_after} s",
        ),
    ),
    errors.LoginLocked: ErrorSpec(
        2007,
        429,
        Text(
            "该手机号验证码错误次数过多，请在 {retry_after} 秒后重试",
            "Too many wrong codes were entered for this phone; try again in {retry_after} s",
        ),
    ),
    errors.PhoneRefused: ErrorSpec(
        2008,
        400,
        Text("短信无法送达该手机号，请检查号码", "The message cannot be delivered to this phone; check the number"),
    ),
    errors.TooManyRefreshes: ErrorSpec(
        2009,
        429,
        Text(
            "刷新登录状态过于频繁，请在 {retry_after} 秒后重试",
            "This login was refreshed too often; try again in {retry_after} s",
        ),
    ),
    errors.BadParameter: ErrorSpec(
        4001, 400, Text("参数 {field} 有误：{problem}", "Invalid parameter {field}: {problem}")
    ),
    errors.UnknownTaskType: ErrorSpec(
        4001,
        400,
        Text("不支持的任务类型 {type}，可用类型：{known}", "Unknown task type {type}; available types: {known}"),
    ),
    errors.NotAllowed: ErrorSpec(4003, 403, Text("无权访问", "You are not allowed to access this")),
    errors.LinkInvalid: ErrorSpec(
        4003, 403, Text("链接无效或已过期，请重新获取", "This link is invalid or has expired; get a new one")
    ),
    errors.TaskNotFound: ErrorSpec(4004, 404, Text("任务不存在", "Task not found")),
    errors.FileMissing: ErrorSpec(4004, 404, Text("文件不存在，请先上传", "File not found; upload it first")),
    errors.TaskFinished: ErrorSpec(
        4009,
        409,
        Text("任务已结束（{status}），不能再更改", "The task has ended ({status}) and can no longer be changed"),
    ),
    errors.TaskHeld: ErrorSpec(
        4009,
        409,
        Text(
            "任务正在处理，此类任务开始处理后不能取消，请等待结果",
            "The task is being carried out, and tasks of this type cannot be stopped; wait for its result",
        ),
    ),
    errors.TaskUnfinished: ErrorSpec(
        4009,
        409,
        Text(
            "任务尚未结束（{status}），请等待其结束或先取消",
            "The task has not ended ({status}); wait until it ends, or cancel it first",
        ),
    ),
    errors.TaskNotFailed: ErrorSpec(
        4009,
        409,
        Text("只有失败的任务可以重试（{status}）", "Only a failed task can be retried ({status})"),
    ),
    errors.LeaseLost: ErrorSpec(
        4009,
        409,
        Text(
            "attempt {attempt} 已失效，任务已被重新分配",
            "Attempt {attempt} is outdated: the task has been given to another worker; stop working on it",
        ),
    ),
    errors.TooManyTasks: ErrorSpec(
        4029,
        429,
        Text(
            "{type} 任务每分钟最多创建 {limit} 个，请在 {retry_after} 秒后重试",
            "At most {limit} tasks of type {type} can be created in a minute; try again in {retry_after} s",
        ),
    ),
    errors.TooManyCancellations: ErrorSpec(
        4030,
        429,
        Text(
            "每分钟最多取消 {limit} 个任务，请在 {retry_after} 秒后重试",
            "At most {limit} tasks can be cancelled in a minute; try again in {retry_after} s",
        ),
    ),
    errors.OrderEnded: ErrorSpec(
        4009,
        409,
        Text(
            "订单已结束（{status}），请使用新的 Idempotency-Key 重新下单",
            "The order has ended ({status}); order again with a new Idempotency-Key",
        ),
    ),
    errors.PaymentMismatch: ErrorSpec(
        4009, 409, Text("支付结果与订单不符", "The payment does not match the order: {problem}")
    ),
    errors.TooLarge: ErrorSpec(
        4013,
        413,
        Text(
            "文件过大，上限为 {limit}，请更换较小的文件",
            "The file is too large; the limit is {limit}, use a smaller one",
        ),
    ),
    errors.NotAnImage: ErrorSpec(4015, 415, Text("{problem}", "{problem}")),
    errors.IdempotencyKeyReused: ErrorSpec(
        4022,
        422,
        Text(
            "该 Idempotency-Key 已用于内容不同的请求，请更换",
            "This Idempotency-Key was already used for a different request; use a new one",
        ),
    ),
    errors.OrderNotFound: ErrorSpec(5002, 404, Text("订单不存在", "Order not found")),
    errors.UnknownChannel: ErrorSpec(
        5003,
        400,
        Text(
            "不支持的支付渠道 {channel}，可用渠道：{known}",
            "Unknown payment channel {channel}; available channels: {known}",
        ),
    ),
    errors.UnknownPlan: ErrorSpec(
        5003, 400, Text("套餐 {plan} 不存在，可用套餐：{known}", "Unknown plan {plan}; available plans: {known}")
    ),
    errors.SignatureInvalid: ErrorSpec(
        5004, 401, Text("支付回调的签名无效", "The signature of the payment callback is invalid")
    ),
    errors.Overloaded: ErrorSpec(
        9003, 503, Text("服务繁忙，请在 {retry_after} 秒后重试", "The server is busy; try again in {retry_after} s")
    ),
    errors.ServiceUnavailable: ErrorSpec(
        9003,
        503,
        Text(
            "外部服务 {service} 暂不可用，请在 {retry_after} 秒后重试",
            "The external service {service} is unavailable; try again in {retry_after} s",
        ),
    ),
    errors.StorageError: ErrorSpec(
        9003,
        503,
        Text(
            "存储暂不可用，本次操作未生效，请稍后重试",
            "Storage is unavailable and nothing was changed; try again later",
        ),
    ),
    errors.CommitFailed: ErrorSpec(
        9003,
        503,
        Text(
            "操作结果未知，请使用相同的 Idempotency-Key 重试",
            "The result of the operation is unknown; try again with the same Idempotency-Key",
        ),
    ),
}

_INTERNAL = ErrorSpec(9999, 500, Text("服务器内部错误", "Internal server error"))

_HTTP_TEXTS = {
    400: Text(
        "请求不是有效的 HTTP，或请求行、请求头过长",
        "The request is not valid HTTP, or its first line or a header is too long",
    ),
    404: Text("接口不存在", "There is no endpoint at this path"),
    405: Text("该接口不支持此请求方法", "This endpoint does not support this method"),
    408: Text("接收请求超时，请重试", "The request took too long to arrive; try again"),
    413: Text("请求体过大，上限为 64 KB", "The request body is too large; the limit is 64 KB"),
    417: Text("不支持该 Expect 请求头", "This value of the Expect header is not supported"),
}


def failure_of(fault: Exception, english: bool) -> Failure:
    """Return the failure for any exception. One that is not in the table is an internal error without details."""
    if isinstance(fault, RequestRefused):
        return _failure(fault.spec, fault.spec.text.render(english), None)
    spec = _SPECS.get(type(fault), _INTERNAL)
    facts = dict(fault.facts) if isinstance(fault, DomainError) else {}
    if isinstance(facts.get("problem"), str):
        facts["problem"] = problem_text(str(facts.pop("problem")), english, **facts)
    retry_after = facts.get("retry_after")
    message = spec.text.render(english, **facts)
    return _failure(spec, message, retry_after if isinstance(retry_after, int) else None)


def http_failure(status: int, reason: str, english: bool) -> Failure:
    """Return the failure for what aiohttp refuses. The code is the status, except where api.md defines another."""
    text = _HTTP_TEXTS.get(status, Text(reason, reason))
    return Failure(4013 if status == 413 else status, status, text.render(english))


def _failure(spec: ErrorSpec, message: str, retry_after: int | None) -> Failure:
    headers = {}
    if retry_after is not None or spec.status in (429, 503):
        headers["Retry-After"] = str(retry_after or 1)
    return Failure(spec.code, spec.status, message, headers)
