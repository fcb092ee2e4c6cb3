"""`basic_clean`: the garment is cut out, put on white and enhanced, by this server's picture workers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from actors.ports import PictureTemplate
from actors.task.attempt import Attempt
from actors.task.task_type import TaskParams, TaskType


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


BASIC_CLEAN = TaskType(
    name="basic_clean",
    params=BasicCleanParams,
    stages=("fetch the input", "make the pictures", "store the pictures"),
    work=make_pictures,
)
