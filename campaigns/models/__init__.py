from campaigns.models.content import Content, ContentFile, ContentUse, ContentVersion, FileUpload, Folder
from campaigns.models.links import LinkDay, LinkHost, ShortLink
from campaigns.models.scripts import Level, Script, ScriptText, ScriptUse

__all__ = [
    "Content", "ContentFile", "ContentUse", "ContentVersion", "FileUpload", "Folder", "Level", "LinkDay", "LinkHost", "Script",
    "ScriptText", "ScriptUse", "ShortLink",
]  # fmt: skip
