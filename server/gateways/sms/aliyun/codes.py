"""The meaning of Alibaba Cloud's error codes: https://help.aliyun.com/document_detail/101346.html."""

from __future__ import annotations

import re

from actors.errors import DomainError, PhoneRefused, TooManyCodesForPhone
from server.gateways.sms.delivery import UNKNOWN_LIMIT, ProviderRefusal, unavailable
from server.gateways.sms.hints import Hints


def refusal(code: str, message: str, request_id: str) -> ProviderRefusal:
    return ProviderRefusal(code, message, request_id, _error(code, message), _HINTS.for_code(code))


def _error(code: str, message: str) -> DomainError:
    """Return the error for the user. isv.DAY_LIMIT_CONTROL is a limit of the account, so it is not one of a phone."""
    if code == "isv.MOBILE_NUMBER_ILLEGAL":
        return PhoneRefused()
    if code == "isv.BUSINESS_LIMIT_CONTROL":
        return _limit(message)
    return unavailable()


def _limit(message: str) -> TooManyCodesForPhone:
    """Parse a limit of one phone: `触发小时级流控Permits:5` means five messages an hour.

    The defaults of an account are 1 a minute, 5 an hour and 10 a day.
    """
    unit = re.search(r"(分钟|小时|天)级流控", message)
    permits = re.search(r"Permits:([0-9]{1,6})", message)
    return TooManyCodesForPhone(
        limit=int(permits[1]) if permits else UNKNOWN_LIMIT,
        retry_after={"分钟": 60, "小时": 3600, "天": 86_400}[unit[1]] if unit else 60,
    )


_KEYS = "check sms.aliyun.access_key_id and access_key_secret, and that the key may use SMS (AliyunDysmsFullAccess)"
_MONEY = "add money to the Alibaba Cloud account, or buy messages"
_ACCOUNT = "see that the SMS service is opened and in order in Alibaba Cloud's console"
_SIGN = "check that sms.aliyun.sign_name is approved and registered with the carriers, in Alibaba Cloud's SMS console"
_TEMPLATE = "check sms.aliyun.template_code and template_param against the approved template, in the SMS console"
_HINTS = Hints(
    {
        "InvalidAccessKeyId": _KEYS,
        "SignatureDoesNotMatch": _KEYS,
        "IncompleteSignature": _KEYS,
        "Forbidden": _KEYS,
        "NoPermission": _KEYS,
        "isp.RAM_PERMISSION_DENY": _KEYS,
        "InvalidTimeStamp": "set this machine's clock: Alibaba Cloud allows 15 minutes",
        "isv.OUT_OF_SERVICE": _MONEY,
        "isv.AMOUNT_NOT_ENOUGH": _MONEY,
        "isv.ACCOUNT": _ACCOUNT,
        "isv.PRODUCT_UN": _ACCOUNT,
        "isv.DENY_IP_RANGE": "send from an address in mainland China, which Alibaba Cloud asks for",
        "isv.DAY_LIMIT_CONTROL": "the account's limit for a day is reached; raise it in the SMS console",
        "isv.MONTH_LIMIT_CONTROL": "the account's limit for a month is reached; raise it in the SMS console",
        "isv.SMS_SIGN": _SIGN,
        "isv.SIGN": _SIGN,
        "isv.SMS_TEMPLATE": _TEMPLATE,
        "isv.TEMPLATE": _TEMPLATE,
        "isv.PARAM": _TEMPLATE,
        "isv.INVALID": _TEMPLATE,
        "isv.BLACK_KEY_CONTROL_LIMIT": _TEMPLATE,  # a forbidden word in a parameter, not a forbidden phone
        "isv.DOMESTIC_NUMBER_NOT_SUPPORTED": "use a template for messages to mainland China",
        "isv.MOBILE_NUMBER_ILLEGAL": "",
        "isv.BUSINESS_LIMIT_CONTROL": "",
        "Throttling": "too many calls at once; if it lasts, ask Alibaba Cloud for more",
        "": "look the code up: https://help.aliyun.com/document_detail/101346.html",
    }
)
