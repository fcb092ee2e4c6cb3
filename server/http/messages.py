"""Words for what domain errors and failed tasks name by a key."""

from __future__ import annotations

from pydantic_core import ErrorDetails

from server.http.language import Text

_PROBLEMS = {
    "id": Text("应为 32 位十六进制字符", "32 hexadecimal digits are needed"),
    "foreign_url": Text(
        "请先通过 /api/media/sts 上传图片，再使用返回的 inputImageUrl",
        "upload the picture through /api/media/sts first, and give the inputImageUrl it returns",
    ),
    "file_name": Text("文件名为空、过长或含有非法字符", "the file name is empty, too long or has forbidden characters"),
    "idempotency_key": Text("应为 1 到 255 个可见 ASCII 字符", "1 to 255 printable ASCII characters are needed"),
    "report_status": Text("应为 processing、success 或 failed", "must be processing, success or failed"),
    "report_results": Text("成功的任务需要至少一个结果地址", "a task that succeeded has at least one result"),
    "extension": Text("仅支持 JPG、JPEG、PNG 图片", "Only JPG, JPEG and PNG pictures are accepted"),
    "not_jpeg_or_png": Text("文件内容不是 JPEG 或 PNG 图片", "The file is not a JPEG or PNG picture"),
    "truncated": Text("图片不完整，请重新上传", "The picture is incomplete; upload it again"),
    "corrupt": Text("图片已损坏，请换一张", "The picture is damaged; try another one"),
    "animated": Text("不支持动态图片", "Animated pictures are not accepted"),
    "too_small": Text("图片太小，请上传更清晰的图片", "The picture is too small; upload a larger one"),
    "unreadable": Text("图片无法读取，请换一张", "The picture cannot be read; try another one"),
}

_REASONS = {
    "no_garment": Text(
        "没有在图片中找到衣物，请换一张背景简洁的图片", "No garment was found; try a photo on a plain background"
    ),
    "fills_frame": Text(
        "衣物占满了画面，请拍摄完整衣物并在四周留白",
        "The garment fills the frame; leave some background on all sides",
    ),
    "scattered": Text(
        "画面中的物体过于零散，请只拍摄一件衣物", "There are too many separate things; photograph one garment"
    ),
    "unclear_edge": Text(
        "衣物与背景颜色过于接近，请换一个对比明显的背景",
        "The garment cannot be told from its background; use one of another colour",
    ),
    "unreadable": Text("图片无法读取，请重新上传", "The picture cannot be read; upload it again"),
    "time_limit": Text("图片处理超时，请换一张较小的图片", "The picture took too long; try a smaller one"),
    "memory_limit": Text(
        "图片过大，处理时内存不足，请换一张较小的图片", "The picture needs too much memory; try a smaller one"
    ),
    "crashed": Text("图片处理失败，请换一张图片", "The picture could not be processed; try another one"),
    "input_missing": Text("找不到上传的图片，请重新上传", "The uploaded picture is gone; upload it again"),
    "interrupted": Text("处理多次中断，请稍后重试", "The work was interrupted too often; try again later"),
    "abandoned": Text("处理方长时间没有回应，请重新提交", "The worker was silent for too long; create the task again"),
    "internal": Text("处理失败，请稍后重试", "The work failed; try again later"),
}

_VALIDATION = {
    "missing": Text("缺少该参数", "is required"),
    "string_type": Text("应为字符串", "a string is needed"),
    "string_unicode": Text("含有无效的 Unicode 字符", "holds characters that are not valid Unicode"),
    "int_type": Text("应为整数", "an integer is needed"),
    "int_from_float": Text("应为整数", "an integer is needed"),
    "int_parsing_size": Text("数值过大", "the number is too large"),
    "bool_type": Text("应为 true 或 false", "true or false is needed"),
    "model_type": Text("应为对象", "an object is needed"),
    "dict_type": Text("应为对象", "an object is needed"),
    "list_type": Text("应为数组", "an array is needed"),
    "extra_forbidden": Text("没有该参数", "there is no such parameter"),
    "string_too_short": Text("长度至少为 {min_length}", "at least {min_length} characters are needed"),
    "string_too_long": Text("长度不能超过 {max_length}", "at most {max_length} characters are allowed"),
    "too_short": Text("至少需要 {min_length} 项", "at least {min_length} items are needed"),
    "too_long": Text("不能超过 {max_length} 项", "at most {max_length} items are allowed"),
    "greater_than_equal": Text("不能小于 {ge}", "must be at least {ge}"),
    "less_than_equal": Text("不能大于 {le}", "must be at most {le}"),
    "enum": Text("可用的值：{expected}", "must be one of {expected}"),
    "literal_error": Text("可用的值：{expected}", "must be one of {expected}"),
    "control_characters": Text("不能含有换行或控制字符", "line breaks and control characters are not allowed"),
    "integer": Text("应为非负整数", "a whole number is needed"),
    "web_address": Text("应以 http:// 或 https:// 开头", "must begin with http:// or https://"),
}

_UNSAID = Text("格式不正确", "is not valid")


def problem(key: str, english: bool) -> str:
    """What is wrong with a parameter or a picture; a text that is no key says it itself."""
    return _PROBLEMS[key].render(english) if key in _PROBLEMS else key


def task_failure(reason: str, english: bool) -> str:
    """Why a task failed; the words of a worker outside this process stay as they are."""
    return _REASONS[reason].render(english) if reason in _REASONS else reason


def validation_problem(error: ErrorDetails) -> Text:
    """Pydantic's finding in words, without repeating what was sent."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        kind, context = str(context["error"]), {}
    said = _VALIDATION.get(kind, _UNSAID)
    return Text(said.render(False, **context), said.render(True, **context))
