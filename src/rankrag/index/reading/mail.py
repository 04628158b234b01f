"""The text of mails (`.eml`) and mailboxes (`.mbox`): headers as attributes, attachments by their kind."""

from __future__ import annotations

import codecs
import email
import email.policy
import mimetypes
import re
from collections.abc import Iterator
from email.message import EmailMessage, Message
from pathlib import Path
from typing import cast

from ...errors import InvalidInputError
from .compressed import opened
from .encodings import as_browsers, decode, encoding_of
from .html import read_html, size_of
from .records import Enclosed, FromCollection, Unreadable
from .texts import Attached, Block, Extract, Paragraph, shortened

_HEADERS = ("from", "to", "cc", "date", "subject")
_PARTS = 200
"""Most parts of a mail that are looked at."""

LONGEST_HEADER = 2000
"""Characters of a header that are read: the standard library takes 2 s for 20,000 brackets, and four times
that for twice as many."""


class _Policy(email.policy.EmailPolicy):
    def header_fetch_parse(self, name: str, value: str) -> str:
        read: str = super().header_fetch_parse(
            name, value if len(value) <= LONGEST_HEADER else value[:LONGEST_HEADER]
        )
        return read


def read_eml(data: bytes, _name: str = "") -> Extract:
    """Read a mail: its plain text, else its HTML, then what is attached; its subject is its title."""
    parsed = email.message_from_bytes(_headers_in_utf8(data), policy=_Policy())
    message = cast("EmailMessage", parsed)
    attributes = {name: value for name in _HEADERS if (value := _header(message, name))}
    lines = [f"{name.title()}: {value}" for name, value in attributes.items()]
    blocks: list[Block] = [Paragraph("\n".join(lines))] if lines else []
    attached: list[Block] = []
    notes: list[str] = []
    for number, part in enumerate(_parts(message), 1):
        if number > _PARTS:
            notes.append(f"more than {_PARTS} parts: the rest was not read")
            break
        if _is_file(part):
            attached.append(_attached(part, number))
        else:
            blocks += _body(part)
    return Extract(attributes.get("subject", ""), [*blocks, *attached], tuple(notes), attributes)


def _headers_in_utf8(data: bytes) -> bytes:
    """Return a mail whose headers, where they break the rules and are in a legacy encoding, are in UTF-8.

    Of the encodings that they name the larger ones are taken, as programs that write mails do.
    """
    data = _NAMED.sub(lambda match: b"=?%s?" % as_browsers(match[1].decode("ascii")).encode(), data)
    head = _HEAD.match(data)
    if head is None or head.group(0).isascii():
        return data
    try:
        encoding, _ = encoding_of([head.group(0)])
    except InvalidInputError:
        return data
    return head.group(0).decode(encoding, "replace").encode() + data[head.end() :]


_NAMED = re.compile(rb"=\?([A-Za-z0-9_-]{1,40})\?(?=[BbQq]\?)")
_HEAD = re.compile(rb"(?:[^\r\n]+\r?\n)+")

LONGEST_MAIL = 64 * 2**20
"""Bytes of a mail in a mailbox; a longer one is named and passed over."""


def mailbox(path: Path, name: str, after: int = 0) -> Iterator[FromCollection]:
    """Yield the mails of a mailbox that follow the first `after`.

    A line that begins with `From ` after a blank one begins a mail, as all programs that write mailboxes
    have it; in a text that nobody quoted, one without a time of day and with several words does not.
    """
    number, held, size, blank = 0, [b""], 0, True

    def mail(read: int) -> Iterator[FromCollection]:
        if size > LONGEST_MAIL:
            yield Unreadable(
                number, f"{name}#{number}: found a mail of more than {LONGEST_MAIL:,} bytes", read
            )
        elif number > after:
            yield Enclosed(number, ".eml", b"".join(held), read)

    with opened(path) as (stream, position):
        for line in stream:
            line = line if number else line.removeprefix(codecs.BOM_UTF8)
            if blank and _BEGINS.match(line):
                yield from mail(position())
                number, held, size = number + 1, [], 0
            elif number:
                size += len(line)
                if size <= LONGEST_MAIL:
                    held.append(line.removeprefix(b">") if line.startswith(b">From ") else line)
            blank = not line.strip()
        yield from mail(position())


_BEGINS = re.compile(rb"From (?:.*\d:\d\d|\S*\s*$)")


def _header(message: EmailMessage, name: str) -> str:
    try:
        value = message[name]
    except Exception:  # the standard library's parser of headers fails in many ways on broken ones
        value = dict(message.raw_items()).get(name, "")
    return shortened(str(value or ""), 1000)


def _content(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    return b"\n".join(item.as_bytes() for item in part.get_payload() if isinstance(item, Message))


def _body(part: EmailMessage) -> list[Block]:
    data = _content(part)
    if not data.strip():
        return []
    text = decode(data, str(part.get_content_charset() or "")).text
    if part.get_content_type() == "text/html":
        return list(read_html(text.encode("utf-8-sig", "replace")).blocks) if text.strip() else []
    return [Paragraph(text.replace("\r\n", "\n"))]


def _parts(message: EmailMessage) -> Iterator[EmailMessage]:
    """Yield the texts and files of a mail in their order; of one text in several forms the plainest."""
    left = [message]
    while left:
        part = left.pop(0)
        if not part.is_multipart() or part.get_content_maintype() != "multipart":
            if part.get_content_maintype() != "image" or part.get_filename():
                yield part
            continue
        inner = [cast("EmailMessage", item) for item in part.iter_parts()]
        if part.get_content_subtype() == "alternative":
            chosen = _chosen(part)
            forms = [
                [item]
                if chosen in [*item.walk()] or item.get_content_subtype() == "calendar"
                else _files(item)
                for item in inner
            ]
            inner = [item for form in forms for item in form]
        left = [*inner, *left]


def _chosen(part: EmailMessage) -> EmailMessage | None:
    """Return which of several forms of a text is read: the plain one, if it is the same text."""
    plain, html = (cast("EmailMessage | None", part.get_body((kind,))) for kind in ("plain", "html"))
    if plain is None or html is None:
        return plain or html
    return html if _STANDS_FOR * _length(plain) < _length(html) else plain


_STANDS_FOR = 3
"""How many times as long HTML is whose plain form only says that there is some."""


def _length(part: EmailMessage) -> int:
    try:
        return sum(map(size_of, _body(part)))
    except InvalidInputError:
        return 0


def _files(part: EmailMessage) -> list[EmailMessage]:
    """Return the files within a part, without its texts."""
    if part.get_content_maintype() != "multipart":
        return [part] if _is_file(part) else []
    return [block for item in part.iter_parts() for block in _files(cast("EmailMessage", item))]


def _is_file(part: EmailMessage) -> bool:
    """Say whether a part is a file of its own, or another mail; else it is text of this one."""
    if part.get_filename() or part.get_content_type() == "message/rfc822":
        return True
    return part.get_content_maintype() not in ("text", "message", "multipart")


def _attached(part: EmailMessage, number: int) -> Attached:
    kind = part.get_content_type()
    if kind == "message/rfc822":
        return Attached(part.get_filename() or f"mail-{number}.eml", part.get_content().as_bytes())
    name = part.get_filename() or f"part-{number}{mimetypes.guess_extension(kind) or ''}"
    return Attached(str(name), _content(part))
