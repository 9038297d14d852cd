"""Tables 2 and 3 of the GSSAM paper (Lu et al. 2024, doi 10.3788/LOP231933): one run each, on private data.

Times are ms per image on an RTX 3090, mAP50:95 is in percent of the test split.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """What a table prints of one network. Table 3 has no times of its own.

    Attributes:
        settings: a cell for each of the table's `columns`.
    """

    settings: tuple[str, ...]
    ap: float
    time_ms: float | None = None


@dataclass(frozen=True)
class PaperTable:
    """One table, without the network that all others are compared with."""

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, PaperRow]


ORIGIN = PaperRow((), 58.67, 20.96)

TABLE_2 = PaperTable(
    "Table 2",
    ("map", "residual", "position"),
    {
        "gssam_sig_p1": PaperRow(("sigmoid", "no", "1"), 60.64, 22.46),
        "gssam_sig_p2": PaperRow(("sigmoid", "no", "2"), 60.50, 22.47),
        "gssam_std_p1": PaperRow(("standardize", "no", "1"), 59.50, 24.96),
        "gssam_std_p2": PaperRow(("standardize", "no", "2"), 58.96, 24.43),
        "gssam_sig_res_p1": PaperRow(("sigmoid", "yes", "1"), 61.44, 22.31),
        "gssam_sig_res_p2": PaperRow(("sigmoid", "yes", "2"), 61.01, 21.99),
    },
)

TABLE_3 = PaperTable(
    "Table 3",
    ("module", "residual", "position"),
    {
        "gssam_sig_p1": PaperRow(("GSSAM", "no", "1"), 60.64),
        "gssam_sig_p2": PaperRow(("GSSAM", "no", "2"), 60.50),
        "gssam_sig_res_p1": PaperRow(("GSSAM", "yes", "1"), 61.44),
        "gssam_sig_res_p2": PaperRow(("GSSAM", "yes", "2"), 61.01),
        "conv_p1": PaperRow(("Conv", "no", "1"), 59.56),
        "conv_p2": PaperRow(("Conv", "no", "2"), 59.49),
        "conv_res_p1": PaperRow(("Conv", "yes", "1"), 60.01),
        "conv_res_p2": PaperRow(("Conv", "yes", "2"), 60.06),
    },
)

PAPER_ROWS: Mapping[str, PaperRow] = {"origin": ORIGIN, **TABLE_3.rows, **TABLE_2.rows}
