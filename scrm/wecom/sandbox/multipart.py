"""The files of a multipart/form-data body."""

from __future__ import annotations

from email.message import Message


def files(content: bytes, content_type: str) -> dict[str, tuple[str, bytes]]:
    """By field: file name and content; parts without a file name are left out."""
    boundary = _header("Content-Type", content_type).get_param("boundary")
    if not boundary:
        return {}
    found = {}
    for part in (b"\r\n" + content).split(b"\r\n--" + str(boundary).encode())[1:]:
        head, separator, body = part.partition(b"\r\n\r\n")
        lines = dict(line.split(":", 1) for line in head.decode(errors="replace").split("\r\n") if ":" in line)
        named = {name.strip().lower(): value.strip() for name, value in lines.items()}
        disposition = _header("Content-Disposition", named.get("content-disposition", ""))
        name, filename = disposition.get_param("name", header="content-disposition"), disposition.get_filename()
        if separator and name and filename:
            found[str(name)] = (filename, body)
    return found


def _header(name: str, value: str) -> Message:
    message = Message()
    message[name] = value
    return message
