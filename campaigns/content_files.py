"""Files of materials (素材文件): what may be taken in, judged by what is inside.

1. A picture is decoded and written anew (``scrm.pictures``), at most 4,096 pixels wide or high, as JPEG or PNG.
2. A video is an MP4 by its first bytes; a file is a PDF, an Office document, a text or a ZIP, by content and by the end of its
   name, and both say the same.
3. Sizes are WeCom's: picture and video 10 MB, file 20 MB, a cover 2 MB.
4. The same content under the same name is kept once.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath

from django.utils.translation import gettext as _

from campaigns.models import ContentFile
from scrm import pictures, uploads
from scrm.errors import RuleViolation
from scrm.wecom import media

EDGE = 4_096  # pixels
COVER_EDGE = 1_080  # pixels: a card shows it small, and WeCom takes 2 MB
NAME_LENGTH = 128
Kind = ContentFile.Kind

# first bytes, the ends of names they go with, and what the browser is told
SIGNS: tuple[tuple[bytes, tuple[str, ...], str], ...] = (
    (b"%PDF-", (".pdf",), "application/pdf"),
    (b"PK\x03\x04", (".docx", ".xlsx", ".pptx", ".zip"), "application/zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", (".doc", ".xls", ".ppt"), "application/x-ole-storage"),
)
TEXTS = (".txt", ".csv")
VIDEO_BRANDS = (b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"M4V ", b"MSNV", b"dash")


class BadFile(RuleViolation):
    """What WeCom would refuse, or what is not what its name says."""

    code = "bad_content_file"


def checked(kind: str, name: str, content: bytes, *, is_cover: bool = False) -> ContentFile:
    """The file as it would be kept, not saved yet. Raises BadFile, pictures.BadPicture."""
    name = uploads.safe_name(name)[-NAME_LENGTH:]
    most = media.ADDRESSED_IMAGE_BYTES if is_cover else media.MOST_BYTES[kind]
    _require_size(len(content), most)
    width = height = 0
    if kind == Kind.IMAGE:
        picture = pictures.anew(content, largest=most, edge=COVER_EDGE if is_cover else EDGE, quality=88)
        content, content_type = picture.content, picture.content_type
        width, height = picture.width, picture.height
        name = f"{PurePosixPath(name).stem or 'picture'}.{picture.suffix}"
        _require_size(len(content), most)
    else:
        content_type = type_of(kind, name, content)
    digest = hashlib.sha256(name.encode() + b"\0" + content).hexdigest()
    return ContentFile(
        kind=kind, digest=digest, name=name, content_type=content_type, content=content, size=len(content), width=width,
        height=height,
    )  # fmt: skip


def keep(file: ContentFile) -> ContentFile:
    """The file saved; the one that is there when it was kept before. Needs an open transaction."""
    if file.pk:
        return file
    ContentFile.objects.bulk_create([file], ignore_conflicts=True)
    return ContentFile.objects.defer("content").get(digest=file.digest, kind=file.kind)


def type_of(kind: str, name: str, content: bytes) -> str:
    """The type of a video or file. Raises BadFile."""
    end = PurePosixPath(name.lower()).suffix
    if kind == Kind.VIDEO:
        if end != ".mp4" or content[4:8] != b"ftyp" or content[8:12] not in VIDEO_BRANDS:
            raise BadFile(_("A video is an MP4 file."))
        return "video/mp4"
    for sign, ends, content_type in SIGNS:
        if content.startswith(sign) and end in ends:
            return content_type
    if end in TEXTS and _is_text(content):
        return "text/plain; charset=utf-8"
    raise BadFile(
        _("A file is a PDF, a Word, Excel or PowerPoint document, a TXT, a CSV or a ZIP, and its name ends so.")
    )


def _require_size(size: int, most: int) -> None:
    if not media.LEAST_BYTES <= size <= most:
        raise BadFile(
            _("The file has %(size)s bytes; WeCom takes 6 bytes to %(most)s MB.")
            % {"size": f"{size:,}", "most": most // media.MEGABYTE}
        )


def _is_text(content: bytes) -> bool:
    for encoding in ("utf-8", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return "\0" not in text and not text.lstrip("\ufeff \r\n\t").lower().startswith(
            ("<!doctype", "<html", "<svg", "<?xml")
        )
    return False
