"""Texts for users: what is wrong with a parameter or a picture, and why a task failed."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import ErrorDetails

from actors.task.task_type import FailureText
from server.http.language import Text

_PROBLEMS = {
    "id": Text("应为 32 位十六进制字符", "must be 32 hexadecimal digits"),
    "foreign_url": Text(
        "请先通过 /api/media/sts 上传图片，再使用返回的 inputImageUrl",
        "upload the picture through /api/media/sts first, then use the inputImageUrl that it returns",
    ),
    "file_name": Text("文件名为空、过长或含有非法字符", "the file name is empty, too long or has invalid characters"),
    "idempotency_key": Text("应为 1 到 255 个可见 ASCII 字符", "must be 1 to 255 printable ASCII characters"),
    "report_status": Text("应为 processing、success 或 failed", "must be processing, success or failed"),
    "report_results": Text("成功的任务至少需要一个结果地址", "a successful task needs at least one result URL"),
    "clock_limit": Text("时钟总共最多可以向前移动 100 年", "the clock can be moved by 100 years in total"),
    "extension": Text("仅支持 JPG、JPEG、PNG 图片", "Only JPG, JPEG and PNG pictures are supported"),
    "not_jpeg_or_png": Text("该文件不是 JPEG 或 PNG 图片", "The file is not a JPEG or PNG picture"),
    "truncated": Text("图片不完整，请重新上传", "The picture is incomplete; upload it again"),
    "corrupt": Text("图片已损坏，请换一张", "The picture is damaged; try another one"),
    "animated": Text("不支持动态图片", "Animated pictures are not supported"),
    "too_small": Text("图片尺寸过小，请上传更大的图片", "The picture is too small; upload a larger one"),
    "unreadable": Text("图片无法读取，请换一张", "The picture cannot be read; try another one"),
}

_TASK_FAILURES = {
    "input_missing": Text("找不到上传的图片，请重新上传", "The uploaded picture was not found; upload it again"),
    "interrupted": Text("处理多次中断，请稍后重试", "Processing was interrupted too often; try again later"),
    "abandoned": Text(
        "处理方长时间没有回应，请重新提交", "The worker did not respond for too long; create the task again"
    ),
    "not_started": Text(
        "长时间没有可用的处理资源，任务未能开始，次数已退回，请稍后重试",
        "No worker became available in time, so the task was not begun and your quota was returned; try again later",
    ),
    "cancelled": Text("任务已取消，次数已退回", "The task was cancelled and your quota was returned"),
    "internal": Text("处理失败，请稍后重试", "Processing failed; try again later"),
}

PICTURES_EXPIRED = Text(
    "图片已超过保存期限", "The pictures are no longer available, because their retention time has ended"
)

_VALIDATION_PROBLEMS = {
    "missing": Text("缺少该参数", "this parameter is required"),
    "string_type": Text("应为字符串", "must be a string"),
    "string_unicode": Text("含有无效的 Unicode 字符", "contains invalid Unicode characters"),
    "int_type": Text("应为整数", "must be an integer"),
    "int_from_float": Text("应为整数", "must be an integer"),
    "int_parsing_size": Text("数值过大", "the number is too large"),
    "bool_type": Text("应为 true 或 false", "must be true or false"),
    "model_type": Text("应为对象", "must be an object"),
    "dict_type": Text("应为对象", "must be an object"),
    "list_type": Text("应为数组", "must be an array"),
    "extra_forbidden": Text("不支持该参数", "this parameter is not supported"),
    "string_too_short": Text("长度不能少于 {min_length} 个字符", "must have at least {min_length} characters"),
    "string_too_long": Text("长度不能超过 {max_length} 个字符", "must have at most {max_length} characters"),
    "too_short": Text("至少需要 {min_length} 项", "must have at least {min_length} items"),
    "too_long": Text("不能超过 {max_length} 项", "must have at most {max_length} items"),
    "greater_than_equal": Text("不能小于 {ge}", "must be at least {ge}"),
    "less_than_equal": Text("不能大于 {le}", "must be at most {le}"),
    "enum": Text("可用的值：{expected}", "must be one of {expected}"),
    "literal_error": Text("可用的值：{expected}", "must be one of {expected}"),
    "control_characters": Text("不能含有换行或控制字符", "must not contain line breaks or control characters"),
    "integer": Text("应为非负整数", "must be a non-negative integer"),
    "web_url": Text("应以 http:// 或 https:// 开头", "must begin with http:// or https://"),
}

_UNKNOWN_PROBLEM = Text("格式不正确", "the format is invalid")


def problem_text(key: str, english: bool, **facts: str | float) -> str:
    """Say what is wrong with a parameter or a picture; `facts` are the values in the text.

    A sentence is returned unchanged, and another key that is not known gets a general text.
    """
    text = _PROBLEMS.get(key) or _VALIDATION_PROBLEMS.get(key)
    if text is None:
        return key if " " in key else _UNKNOWN_PROBLEM.render(english)
    return text.render(english, **facts)


def task_failure_text(reason: str, failures: Mapping[str, FailureText], english: bool) -> str:
    """Say why a task failed; `failures` are the texts of its type. A text of an external worker is returned unchanged."""
    if reason in failures:
        return failures[reason].english if english else failures[reason].chinese
    return _TASK_FAILURES[reason].render(english) if reason in _TASK_FAILURES else reason


def validation_problem(error: ErrorDetails) -> Text:
    """Describe the problem that pydantic found, without repeating the value that was sent."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        kind, context = str(context["error"]), {}
    text = _VALIDATION_PROBLEMS.get(kind, _UNKNOWN_PROBLEM)
    return Text(text.render(False, **context), text.render(True, **context))
