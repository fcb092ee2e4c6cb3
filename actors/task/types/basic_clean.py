"""`basic_clean`: the garment is cut out, put on white and enhanced, by this server's picture workers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from actors.ports import PictureTemplate
from actors.task.attempt import Attempt
from actors.task.task_type import FailureText, TaskParams, TaskType


class BasicCleanParams(TaskParams):
    """`template` selects the result pictures."""

    template: Annotated[PictureTemplate, Field(strict=False)] = PictureTemplate.ALL


async def make_pictures(attempt: Attempt) -> list[str]:
    """Clean the input and return the keys of the pictures."""
    source = await attempt.fetch_input()
    await attempt.stage_done()
    params = BasicCleanParams.model_validate(attempt.task.params)
    pictures = await attempt.workers.clean(source, attempt.folder, params.template)
    await attempt.stage_done()
    return await attempt.store(pictures)


FAILURES = {
    "no_garment": FailureText(
        "没有在图片中找到衣物，请换一张背景简洁的图片",
        "No garment was found in the picture; try a photo with a plain background",
    ),
    "fills_frame": FailureText(
        "衣物占满了画面，请拍摄完整衣物并在四周留白",
        "The garment fills the picture; photograph the whole garment and leave some space around it",
    ),
    "scattered": FailureText(
        "画面中的物体过于零散，请只拍摄一件衣物",
        "The picture shows too many separate objects; photograph only one garment",
    ),
    "unclear_edge": FailureText(
        "衣物与背景颜色过于接近，请换一个对比明显的背景",
        "The garment and the background have similar colours; use a background with more contrast",
    ),
    "unreadable": FailureText("图片无法读取，请重新上传", "The picture cannot be read; upload it again"),
    "time_limit": FailureText(
        "图片处理超时，请换一张较小的图片", "Processing the picture took too long; try a smaller one"
    ),
    "memory_limit": FailureText(
        "图片过大，处理时内存不足，请换一张较小的图片",
        "The picture is too large and needs too much memory; try a smaller one",
    ),
    "crashed": FailureText("图片处理失败，请换一张图片", "The picture could not be processed; try another one"),
}

BASIC_CLEAN = TaskType(
    name="basic_clean",
    params=BasicCleanParams,
    stages=("fetch the input", "make the pictures", "store the pictures"),
    work=make_pictures,
    failures=FAILURES,
)
