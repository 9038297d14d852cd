"""One HTML page that shows a folder of pictures side by side."""

from collections import defaultdict
from html import escape
from pathlib import Path
from urllib.parse import quote

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.files import write_text

PAGE_NAME = "index.html"

_STYLE = """body{font:15px system-ui,sans-serif;margin:1rem;background:#fff;color:#111}
table{border-collapse:collapse}td,th{padding:.4rem;vertical-align:top;text-align:left}
img{max-width:100%;display:block}td{border-top:1px solid #bbb}
thead th{position:sticky;top:0;background:#fff}"""


def write_page(folder: Path) -> Path:
    """Writes `index.html` over all PNG files in `folder` and its folders; returns its path.

    A picture's name is its row, its folder its column: pictures of one image by several networks, each in a folder of
    its own, stand side by side.

    Raises:
        UserError: no such folder, no PNG in it, or the page cannot be written.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    rows: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in folder.rglob("*.png"):
        relative = path.relative_to(folder)
        if path.name.startswith("."):  # a picture that is being written
            continue
        rows[path.name][relative.parent.as_posix()] = relative
    if not rows:
        raise UserError(f"{folder}: no PNG pictures in it; make some with tools/visualize.py")
    columns = sorted({column for row in rows.values() for column in row})
    page = folder / PAGE_NAME
    write_text(page, _page(folder.resolve().name, columns, rows))
    return page


def _page(title: str, columns: list[str], rows: dict[str, dict[str, Path]]) -> str:
    names = "".join(f"<th>{escape('' if column == '.' else column)}</th>" for column in columns)
    lines = [f"<thead><tr>{names}</tr></thead>"] if columns != ["."] else []
    for name in sorted(rows):
        lines.append(f'<tr><th colspan="{len(columns)}">{escape(Path(name).stem)}</th></tr>')
        cells = (_cell(rows[name].get(column)) for column in columns)
        lines.append(f"<tr>{''.join(cells)}</tr>")
    table = "\n".join(lines)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>
<style>{_STYLE}</style></head>
<body><h1>{escape(title)}</h1>
<table>
{table}
</table></body></html>
"""


def _cell(path: Path | None) -> str:
    if path is None:
        return "<td></td>"
    link = escape(quote(path.as_posix()))
    return f'<td><a href="{link}"><img src="{link}" alt="{escape(path.as_posix())}" loading="lazy"></a></td>'
