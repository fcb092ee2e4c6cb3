"""Routes: the URL to upload a picture to, and the check of a file before its upload."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from actors.task.media import Media, check_upload
from server.http.body import Body, Line, Query
from server.http.language import Text
from server.http.route import AnyRoute, Call, NoBody, NoQuery, Route, Success
from server.http.times import iso


class StsQuery(Query):
    fileName: str = "photo.jpg"
    taskId: str | None = None


class ValidateBody(Body):
    fileName: Annotated[Line, Field(min_length=1)]
    fileSize: Annotated[int, Field(ge=1)]


class MediaRoutes:
    def __init__(self, media: Media) -> None:
        self._media = media

    def routes(self) -> list[AnyRoute]:
        return [
            Route("GET", "/api/media/sts", self._sts, query=StsQuery),
            Route("POST", "/api/media/validate", self._validate, body=ValidateBody),
        ]

    async def _sts(self, call: Call[NoBody, StsQuery]) -> Success:
        place = self._media.upload_target(call.caller.user_id, call.query.fileName, call.query.taskId)
        return Success(
            {
                "taskId": place.task_id,
                "allowPrefix": place.prefix,
                "key": place.key,
                "uploadUrl": place.ticket.url,
                "method": "PUT",
                "headers": dict(place.ticket.headers),
                "inputImageUrl": place.download_url,
                "expiration": iso(place.ticket.expires_at),
            }
        )

    async def _validate(self, call: Call[ValidateBody, NoQuery]) -> Success:
        check_upload(call.body.fileName, call.body.fileSize)
        return Success(message=Text("文件可以上传", "The file can be uploaded"))
