"""XML files of labels, of which nothing is taken on trust."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from yolox_gssam.common.errors import UserError
from yolox_gssam.common.text import one_line, printable
from yolox_gssam.data.coco_reader import MAX_NUMBER
from yolox_gssam.data.formats.samples import MAX_LABEL_BYTES, read_small_file


def read_xml(path: Path, max_bytes: int = MAX_LABEL_BYTES) -> Element:
    """The root element of a file.

    Raises:
        UserError: as in `read_small_file`, not an XML file, or one with a document type or entities.
    """
    data = read_small_file(path, max_bytes)
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise UserError(f"{printable(path)}: not a plain XML file: {one_line(error)}") from error
    return root


def xml_number(text: str | None) -> float | None:
    """A finite number of a sensible size; None for anything else."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < MAX_NUMBER else None
