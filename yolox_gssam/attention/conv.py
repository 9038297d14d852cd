"""The ablation of GSSAM (Fig. 18 and "Conv" in Table 3 of its paper, see gssam.py): no sampling, no comparison."""

from torch import Tensor, nn

from yolox_gssam.attention.embedding import Embedding
from yolox_gssam.attention.registry import register_attention


@register_attention("conv")
class ConvAttention(nn.Module):
    """Weighs every pixel by the sigmoid of GSSAM's embedding. (B, C, H, W) -> same shape and dtype.

    Args:
        channels: C of the input.
        num_convs: 3x3 convolutions of the embedding.
        residual: adds the input to the output.
        embedding: "pointwise" or "dual", see `Embedding`.

    Raises:
        UserError: a bad option.
    """

    def __init__(self, channels: int, num_convs: int, residual: bool = False, embedding: str = "pointwise") -> None:
        super().__init__()
        self.embedding = Embedding(channels, num_convs, embedding)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        attention = self.attention_map(x)
        # x + x * attention with one product and one pass over x.
        return x * (1 + attention) if self.residual else x * attention

    def attention_map(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W) in [0, 1], in the dtype of `x`."""
        return self.embedding(x).sigmoid().to(x.dtype)
