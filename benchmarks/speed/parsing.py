"""How fast documents are read: megabytes and pages a second of one processor, and the memory of a long PDF.

    python benchmarks/speed/parsing.py [--pages 1600] [--with PYTHON] [--keep DIR]

The files are fetched by the names of their Debian packages: the Debian FAQ as PDF, three chapters of the
Debian Reference as HTML, and the text of the FAQ as a Word file with a table of 1,500 cells. `--with` is a
Python that has markitdown: it reads the same files. The long PDF is that of the FAQ again and again, read in
the process in which `rankrag index` reads; the most memory that this took is shown.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import resource
import subprocess
import tempfile
import zipfile
from pathlib import Path
from time import process_time

from rankrag.index.reading import Apart, File, ReadSettings
from rankrag.index.reading.parse import parse

PACKAGES = ("debian-faq", "debian-reference-en")
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"

MARKITDOWN = """
import json, sys, time
from markitdown import MarkItDown
reader = MarkItDown(enable_plugins=False)
reader.convert(sys.argv[1])
seconds = []
for path in sys.argv[1:]:
    started = time.process_time()
    reader.convert(path)
    seconds.append(time.process_time() - started)
print(json.dumps(seconds))
"""


def main() -> None:
    """Measure and print."""
    options = _arguments()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(options.keep or made)
        kinds = {kind: sorted(folder.glob(f"*{kind}")) for kind in _fetched(folder)}
        _long(kinds[".pdf"][0], folder / "long.pdf", options.pages)
        for kind, paths in kinds.items():
            size = sum(path.stat().st_size for path in paths) / 1e6
            ours = _seconds(paths)
            line = f"{kind}: {len(paths)} files, {size:.2f} MB, {ours:.2f} s, {size / ours:.2f} MB/s"
            if options.beside:
                done = subprocess.run(
                    [options.beside, "-c", MARKITDOWN, *map(str, paths)], capture_output=True, check=True
                )
                line += f"; markitdown {sum(json.loads(done.stdout)):.2f} s"
            print(line)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=1600)
    parser.add_argument("--with", dest="beside", metavar="PYTHON")
    parser.add_argument("--keep", metavar="DIR", help="where the files stay")
    return parser.parse_args()


def _fetched(folder: Path) -> tuple[str, ...]:
    """Fetch the packages and put the files to read into a folder; return their endings."""
    for name in PACKAGES:
        subprocess.run(["apt-get", "download", name], cwd=folder, check=True, capture_output=True)
        package = next(folder.glob(f"{name}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder / name)], check=True)
    faq = folder / "debian-faq/usr/share/doc/debian/FAQ"
    (folder / "faq.pdf").write_bytes(gzip.decompress((faq / "debian-faq.en.pdf.gz").read_bytes()))
    for page in sorted((folder / "debian-reference-en").rglob("*.en.html"))[:3]:
        (folder / page.name.replace(".en", "")).write_bytes(page.read_bytes())
    (folder / "faq.docx").write_bytes(
        _word(gzip.decompress((faq / "debian-faq.en.txt.gz").read_bytes()).decode())
    )
    return ".pdf", ".html", ".docx"


def _word(text: str) -> bytes:
    """Return a Word file of a text and a table of 300 rows."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    body = "".join(_paragraph(" ".join(part.split())) for part in escaped.split("\n\n"))
    cells = (
        "".join(f"<w:tc>{_paragraph(f'cell {row} {column}')}</w:tc>" for column in range(5))
        for row in range(300)
    )
    table = "".join(f"<w:tr>{row}</w:tr>" for row in cells)
    office = "http://schemas.openxmlformats.org"
    main = f"{office}/officeDocument/2006/relationships/officeDocument"
    kinds = "application/vnd.openxmlformats"
    kind = f"{kinds}-officedocument.wordprocessingml.document.main+xml"
    rels = f'Extension="rels" ContentType="{kinds}-package.relationships+xml"'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{office}/package/2006/content-types"><Default {rels}/>'
        f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{office}/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{main}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{W}"><w:body>{body}<w:tbl>{table}</w:tbl></w:body>'
        "</w:document>",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def _paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def _seconds(paths: list[Path]) -> float:
    for path in paths[:1]:  # what is imported is not measured
        parse(path, path.suffix)
    started = process_time()
    for path in paths:
        parse(path, path.suffix)
    return process_time() - started


def _long(path: Path, long: Path, pages: int) -> None:
    from pypdf import PdfReader, PdfWriter

    n = len(PdfReader(path).pages)
    writer = PdfWriter()
    for _ in range(-(-pages // n)):
        writer.append(path)
    writer.write(long)
    with Apart() as apart:
        file = File(long, "long.pdf", ".pdf")
        passages = sum(len(portion.rows) for portion in apart.portions(file, ReadSettings()))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{len(PdfReader(long).pages):,} pages, {long.stat().st_size / 1e6:.1f} MB: {passages:,} passages, "
        f"{used.ru_utime + used.ru_stime:.0f} s of a processor, {used.ru_maxrss / 1024:.0f} MB in its process"
    )


if __name__ == "__main__":
    main()
