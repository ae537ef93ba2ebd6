"""Materials in the mini-program: what I may send, and what to send of it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from campaigns import content, content_media, links, queries
from campaigns.models import Content, ContentFile, ContentVersion, FileUpload
from guides import shares
from guides.api.base import GuideView, now
from guides.models import WecomMember
from scrm.api import pagination, throttles
from scrm.api.idempotency import idempotent

LIST = "materials"
READY, WAITING, NONE = "READY", "WAITING", "NONE"


class MaterialItem(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=Content.Kind.choices)
    kind_text = serializers.CharField()
    name = serializers.CharField()
    folder = serializers.CharField(allow_null=True)
    tags = serializers.ListField(child=serializers.CharField())
    version = serializers.IntegerField()
    text = serializers.CharField(allow_blank=True)
    title = serializers.CharField(allow_blank=True)
    description = serializers.CharField(allow_blank=True)
    file_name = serializers.CharField(allow_blank=True)
    file_size = serializers.IntegerField()
    has_picture = serializers.BooleanField(help_text="GET …/file gives the picture")
    ends_at = serializers.DateTimeField(allow_null=True)
    use_count = serializers.IntegerField()

    class Meta:
        ref_name = "Material"


class MaterialPage(serializers.Serializer[Any]):
    items = MaterialItem(many=True)
    next_cursor = serializers.CharField(allow_null=True, help_text="null: this is the last page")


ITEM = {
    "id": 12, "kind": "LINK", "kind_text": "链接", "name": "榴莲挑选指南", "folder": "知识", "tags": ["榴莲"], "version": 3,
    "text": "一分钟学会挑榴莲", "title": "榴莲怎么挑", "description": "看刺、闻香、听声", "file_name": "cover.jpg", "file_size": 48211,
    "has_picture": True, "ends_at": None, "use_count": 87,
}  # fmt: skip


class MaterialsView(GuideView):
    class Query(pagination.PageInput):
        kind = serializers.ChoiceField(choices=Content.Kind.choices, required=False)
        folder = serializers.CharField(required=False, max_length=64, help_text="name of the folder")
        tag = serializers.CharField(required=False, max_length=32)
        name = serializers.CharField(required=False, max_length=64, help_text="how the name begins")

        class Meta:
            ref_name = "MaterialsQuery"

    @extend_schema(
        operation_id="materials",
        tags=["content"],
        summary="Materials I may send",
        description="Those for my store that are usable now, the newest first.",
        parameters=[Query],
        responses={200: MaterialPage},
        examples=[
            OpenApiExample(
                "page", response_only=True, status_codes=["200"], value={"items": [ITEM], "next_cursor": None}
            )
        ],
    )
    def get(self, request: Request) -> Response:
        wanted = self.read(self.Query, request.query_params)
        cursor, size = wanted.pop("cursor", None), wanted.pop("size")
        name = f"{LIST} {sorted(wanted.items())}"
        key = pagination.read_cursor(cursor, of=name)
        rows = content.page(
            store_id=self.caller.store_id, now=now(), after=key[0] if key else None, limit=size + 1, **wanted
        )
        versions = content.current_of({row.pk: row for row in rows})
        items = [material_item(row, versions[row.pk]) for row in rows if row.pk in versions]
        page = pagination.page(items, size=size, of=name, key=lambda row: [row["id"]])
        return Response({"items": page.items, "next_cursor": page.next_cursor})


class OwnMaterial(GuideView):
    throttle_classes = (throttles.MissThrottle,)

    def found(self, request: Request, content_id: int) -> Content:
        row = content.usable_in(self.caller.store_id, now()).filter(pk=content_id).select_related("folder").first()
        if row is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        return row


class FileView(OwnMaterial):
    @extend_schema(
        operation_id="material_file",
        tags=["content"],
        summary="The picture, video or file of a material",
        responses={
            (200, "image/jpeg"): OpenApiTypes.BINARY,
            (200, "image/png"): OpenApiTypes.BINARY,
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request, content_id: int) -> HttpResponse:
        version = content.current(self.found(request, content_id))
        if version is None or version.file_id is None:
            throttles.MissThrottle.missed(request)
            raise NotFound
        file = ContentFile.objects.get(pk=version.file_id)
        content_type = file.content_type if file.kind == ContentFile.Kind.IMAGE else "application/octet-stream"
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=3600"}
        return HttpResponse(bytes(file.content), content_type=content_type, headers=headers)


class ToSend(serializers.Serializer[Any]):
    class MiniProgram(serializers.Serializer[Any]):
        app_id = serializers.CharField()
        page = serializers.CharField(help_text="with my share token in it")

        class Meta:
            ref_name = "MaterialMiniProgram"

    kind = serializers.ChoiceField(choices=Content.Kind.choices)
    version = serializers.IntegerField()
    text = serializers.CharField(allow_blank=True)
    title = serializers.CharField(allow_blank=True)
    description = serializers.CharField(allow_blank=True)
    url = serializers.CharField(allow_blank=True, help_text="my short link; who opens it is a touch of mine")
    mini_program = MiniProgram(allow_null=True)
    media_state = serializers.ChoiceField(
        choices=[READY, WAITING, NONE], help_text="WAITING: on its way to WeCom, ask again in seconds"
    )
    media_id = serializers.CharField(allow_blank=True, help_text="for sendChatMessage of WeCom's JS-SDK")

    class Meta:
        ref_name = "MaterialToSend"


class UseView(OwnMaterial):
    @extend_schema(
        operation_id="use_material",
        tags=["content"],
        summary="Take a material to send it",
        description=(
            "Counts the use and gives what to send: the text, my own short link of a link, the card of a mini-program with my "
            "share token, the id of the file at WeCom."
        ),
        request=None,
        responses={200: ToSend},
        examples=[
            OpenApiExample(
                "link", response_only=True, status_codes=["200"],
                value={
                    "kind": "LINK", "version": 3, "text": "一分钟学会挑榴莲", "title": "榴莲怎么挑", "description": "看刺、闻香、听声",
                    "url": "https://scrm.example.com/s/h7Kq2mXw9p", "mini_program": None, "media_state": "NONE", "media_id": "",
                },
            )
        ],
    )  # fmt: skip
    @idempotent
    def post(self, request: Request, content_id: int) -> Response:
        at, row = now(), self.found(request, content_id)
        version = content.record_use(content=row, guide_id=self.caller.guide_id, store_id=self.caller.store_id, now=at)
        shown: dict[str, Any] = {"kind": row.kind, "version": version.number, "url": "", "mini_program": None}
        shown |= {name: getattr(version, name) for name in ("text", "title", "description")}
        if row.kind == Content.Kind.LINK:
            link = links.make(guide_id=self.caller.guide_id, target=version.url, content=row, now=at)
            shown["url"] = queries.address_of(link)
        if row.kind == Content.Kind.MINI_PROGRAM:
            _share, token = shares.share(guide_id=self.caller.guide_id, kind="SHARE", now=at)
            shown["mini_program"] = {"app_id": version.app_id, "page": links.page_with_token(version.page, token)}
        return Response(shown | self._media(version, row.kind, at))

    def _media(self, version: ContentVersion, kind: str, at: Any) -> dict[str, str]:
        """A link's cover is no file to send."""
        account = WecomMember.objects.filter(guide=self.caller.guide_id, left_at=None).select_related("corp").first()
        if version.file is None or account is None or kind == Content.Kind.LINK:
            return {"media_state": NONE, "media_id": ""}
        row = content_media.wanted(file=version.file, corp=account.corp, use=FileUpload.Use.MESSAGE, now=at)
        is_ready = content_media.is_ready(row, at)
        return {"media_state": READY if is_ready else WAITING, "media_id": row.media_id if is_ready else ""}


def material_item(row: Content, version: ContentVersion) -> dict[str, Any]:
    file = version.file
    return {
        "id": row.pk, "kind": row.kind, "kind_text": str(row.get_kind_display()), "name": row.name,
        "folder": row.folder.name if row.folder else None, "tags": row.tags, "version": version.number, "text": version.text,
        "title": version.title, "description": version.description, "file_name": file.name if file else "",
        "file_size": file.size if file else 0, "has_picture": file is not None and file.kind == ContentFile.Kind.IMAGE,
        "ends_at": row.ends_at, "use_count": row.use_count,
    }  # fmt: skip
