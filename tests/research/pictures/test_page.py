import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.research.pictures.page import write_page


class Page(HTMLParser):
    """Collects the rows, what is shown in each cell, and whatever a page could load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str | None]] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "tr":
            self.rows.append([])
        elif tag == "td":
            self.rows[-1].append(None)
        elif tag == "img":
            assert values["alt"]
            self.rows[-1][-1] = unquote(values["src"] or "")
        self.loaded += [value for name in ("src", "href") if (value := values.get(name)) is not None]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_networks_stand_side_by_side(tmp_path: Path) -> None:
    names = ["plain/a.png", "plain/b & 100%#1?.png", "gssam <x>/a.png", "gssam <x>/c.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "plain" / ".a-part.png").write_bytes(b"")  # one that is being written
    page = write_page(tmp_path)
    assert page == tmp_path / "index.html"
    parsed = Page(page.read_text(encoding="utf-8"))
    pictures = [row for row in parsed.rows if row]
    assert pictures == [
        ["gssam <x>/a.png", "plain/a.png"],
        [None, "plain/b & 100%#1?.png"],
        ["gssam <x>/c.png", None],
    ]
    assert {"gssam <x>", "plain", "a", "b & 100%#1?", "c"} <= set(parsed.texts)
    # Works offline and from any place: relative paths alone, nothing that runs.
    assert {unquote(link) for link in parsed.loaded} == set(names)
    assert not {"script", "link", "iframe"} & set(parsed.tags)
    for opened in ("table", "thead", "tr", "td", "th", "body", "html"):
        assert len(re.findall(rf"<{opened}\b", page.read_text())) == page.read_text().count(f"</{opened}>"), opened


def test_one_folder_is_one_column(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    assert [row for row in Page(write_page(tmp_path).read_text()).rows if row] == [["a.png"], ["b.png"]]


def test_errors_say_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no PNG pictures in it"):
        write_page(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        write_page(tmp_path / "nowhere")
