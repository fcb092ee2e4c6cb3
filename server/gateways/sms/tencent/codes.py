"""The meaning of Tencent Cloud's error codes: https://cloud.tencent.com/document/api/382/59177."""

from __future__ import annotations

from actors.errors import DomainError, PhoneRefused, TooManyCodesForPhone
from server.gateways.sms.delivery import UNKNOWN_LIMIT, ProviderRefusal, unavailable
from server.gateways.sms.hints import Hints


def refusal(code: str, message: str, request_id: str) -> ProviderRefusal:
    return ProviderRefusal(code, message, request_id, _error(code), _HINTS.for_code(code))


_REFUSED_PHONES = {
    "InvalidParameterValue.IncorrectPhoneNumber",
    "FailedOperation.PhoneNumberParseFail",
    "FailedOperation.PhoneNumberInBlacklist",
}
_PHONE_LIMITS = {  # seconds of each limit; how many messages it allows is set in the console
    "LimitExceeded.PhoneNumberThirtySecondLimit": 30,
    "LimitExceeded.PhoneNumberOneHourLimit": 3600,
    "LimitExceeded.PhoneNumberDailyLimit": 86_400,
    "LimitExceeded.PhoneNumberSameContentDailyLimit": 86_400,
}


def _error(code: str) -> DomainError:
    if code in _REFUSED_PHONES:
        return PhoneRefused()
    if code in _PHONE_LIMITS:
        return TooManyCodesForPhone(limit=UNKNOWN_LIMIT, retry_after=_PHONE_LIMITS[code])
    return unavailable()


_APP = "check sms.tencent.app_id: it must exist, be enabled, and belong to the account of the key"
_SIGN = "check that sms.tencent.sign_name is approved, in Tencent Cloud's SMS console"
_TEMPLATE = "check sms.tencent.template_id and template_params against the approved template, in the SMS console"
_HINTS = Hints(
    {
        "AuthFailure": "check sms.tencent.secret_id and secret_key, and this machine's clock",
        "InternalError.RequestTimeException": "set this machine's clock: Tencent Cloud allows 10 minutes",
        "UnauthorizedOperation": "let the key use SendSms, and this machine's address, in Tencent Cloud's console",
        "UnauthorizedOperation.ServiceSuspendDueToArrears": "settle the Tencent Cloud account's debts",
        "UnauthorizedOperation.SdkAppIdIsDisabled": _APP,
        "UnauthorizedOperation.SmsSdkAppIdVerifyFail": _APP,
        "InvalidParameterValue.SdkAppIdNotExist": _APP,
        "FailedOperation.InsufficientBalanceInSmsPackage": "buy messages: https://buy.cloud.tencent.com/sms",
        "FailedOperation.MissingSignature": _SIGN,
        "FailedOperation.SignatureIncorrectOrUnapproved": _SIGN,
        "FailedOperation.MissingTemplate": _TEMPLATE,
        "FailedOperation.Template": _TEMPLATE,
        "InvalidParameterValue.TemplateParameter": _TEMPLATE,
        "UnsupportedOperation": "use a signature and a template for messages to mainland China",
        "LimitExceeded": "the account's limit is reached; raise it in Tencent Cloud's SMS console",
        "RequestLimitExceeded": "too many calls at once; if it lasts, ask Tencent Cloud for more",
        **dict.fromkeys([*_REFUSED_PHONES, *_PHONE_LIMITS], ""),
        "LimitExceeded.PhoneNumberDailyLimit": "may be raised in Tencent Cloud's SMS console",
        "": "look the code up: https://cloud.tencent.com/document/api/382/59177",
    }
)
