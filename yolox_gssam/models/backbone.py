"""CSPDarknet with one spatial attention after each of its five stages.

Lu et al. 2024 (doi 10.3788/LOP231933), Fig. 15: GSSAM1 to GSSAM5 follow stem, dark2, dark3, dark4 and dark5.

- position 1, before a stage's output is extracted: neck and next stage both get the attended map;
- position 2, after it is extracted: the neck gets the plain map, only the next stage the attended one. Nothing
  follows dark5, so position 2 has no attention there.
"""

from torch import Tensor, nn
from yolox.models.darknet import CSPDarknet

STAGES = ("stem", "dark2", "dark3", "dark4", "dark5")


def stage_channels(width: float) -> tuple[int, ...]:
    """Channels that leave the five stages of a CSPDarknet of this width multiple (1.0: 64 to 1024)."""
    base = int(width * 64)
    return tuple(base * 2**i for i in range(len(STAGES)))


class AttentionCSPDarknet(nn.Module):
    """A CSPDarknet whose stage outputs pass through attention. Its own parameters keep their YOLOX names.

    Args:
        darknet: the stock backbone; its stages are taken over, not copied.
        attention: stage name -> module that keeps the shape (B, C, H, W); a stage without one is left plain.
        position: 1 or 2, see the head of this file.
    """

    def __init__(self, darknet: CSPDarknet, attention: nn.ModuleDict, position: int) -> None:
        super().__init__()
        if position not in (1, 2):
            raise ValueError(f"position must be 1 or 2, not {position!r}")
        if position == 2 and "dark5" in attention:
            raise ValueError("at position 2 nothing follows dark5: an attention there would never be trained")
        self.out_features = darknet.out_features
        for stage in STAGES:
            setattr(self, stage, getattr(darknet, stage))
        self.attention = attention
        self.position = position

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W), H and W multiples of 32 -> {"dark3": (B, C, H/8, W/8), "dark4": 1/16, "dark5":
        1/32}, and "dark2": 1/4 where the neck has four levels."""
        outputs = {}
        for stage in STAGES:
            plain = getattr(self, stage)(x)
            x = self.attention[stage](plain) if stage in self.attention else plain
            outputs[stage] = x if self.position == 1 else plain
        return {stage: outputs[stage] for stage in self.out_features}
