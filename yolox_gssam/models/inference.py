"""A trained YOLOX as it is run: the same function of the image with less work, in operations that exporters know."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init
from torch.nn.utils.fusion import fuse_conv_bn_weights
from yolox.models import YOLOX
from yolox.models.darknet import Focus
from yolox.models.network_blocks import BaseConv

from yolox_gssam.attention.embedding import Embedding

# Side of the neighbourhood that the class branch sees: two 3x3 convolutions.
_WINDOW = 5


class InferenceYOLOX(nn.Module):
    """Images (B, H, W, 3) uint8, BGR, to the candidates: a row for each anchor whose objectness reaches the threshold.

    The candidates are those of YOLOX up to rounding. What differs is how they are computed:

    - every BatchNorm is part of the convolution before it;
    - YOLOX's Focus and the convolution behind it are one 6x6 convolution of stride 2;
    - images come in as uint8, three values a pixel next to each other, as OpenCV holds them;
    - the class branch, a sixth of all operations, is computed at the candidates alone (`lazy_classes`): an anchor's
      score is objectness times class probability, so that no other anchor can reach the threshold;
    - boxes are decoded here, in float32: in float16 a centre at pixel 600 moves in steps of half a pixel, too coarse
      for a drone of ten pixels.

    Source of the decoding: Ge et al., "YOLOX: Exceeding YOLO Series in 2021", arXiv 2107.08430, section 2.

    Args:
        model: left as it is; its weights are copied.
        lazy_classes: False computes the class branch everywhere. It is faster where a device has to be waited for to
            learn how many candidates there are.
    """

    def __init__(self, model: YOLOX, lazy_classes: bool = True) -> None:
        super().__init__()
        model = copy.deepcopy(model).eval()
        for module in list(model.modules()):
            if isinstance(module, BaseConv):
                _fuse(module)
            elif isinstance(module, Embedding):
                module.fold()
        darknet = model.backbone.backbone
        darknet.stem = _merge_focus(darknet.stem)
        self.backbone = model.backbone
        self.head = model.head
        self.num_classes: int = model.head.num_classes
        self.lazy_classes = lazy_classes
        # The class branch for windows of 5x5 around an anchor, of which it leaves one value.
        self.window_convs = copy.deepcopy(model.head.cls_convs)
        for module in self.window_convs.modules():
            if isinstance(module, nn.Conv2d):
                module.padding = (0, 0)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, score_threshold: Tensor) -> Tensor:
        """The candidates of a batch.

        Args:
            images: (B, H, W, 3) uint8, BGR; H and W multiples of 32.
            score_threshold: a number or a tensor of one, in [0, 1].

        Returns:
            (n, 6 + classes) float32: number of the image in the batch, centre x, centre y, width, height in pixels of
            the input, objectness, class probabilities. In no particular order.
        """
        features = self._features(images)
        return torch.cat([self._candidates(level, x, score_threshold) for level, x in enumerate(features)])

    def dense(self, images: Tensor) -> Tensor:
        """Every anchor, as YOLOX itself gives them: (B, A, 5 + classes), the columns of `forward` but for the first."""
        rows = []
        for level, x in enumerate(self._features(images)):
            x, outputs, objectness = self._boxes(level, x)
            outputs = torch.cat((outputs, objectness, self._classes(level, x)), dim=1)
            H, W = outputs.shape[2:]
            anchors = torch.arange(H * W, device=x.device)
            rows.append(self._decode(level, outputs.flatten(2).transpose(1, 2), anchors // W, anchors % W))
        return torch.cat(rows, dim=1)

    def undecoded(self, images: Tensor) -> Tensor:
        """Every anchor as YOLOX's own exporter gives it: boxes in units of the grid, see its `demo_postprocess`.

        Args:
            images: (B, 3, H, W) float, BGR, 0 to 255; H and W multiples of 32.

        Returns:
            (B, A, 5 + classes): offset of the centre from its cell (x, y) and logarithm of width and height, in
            strides; objectness and class probabilities.
        """
        rows = []
        for level, x in enumerate(self.backbone(images.to(self.head.stems[0].conv.weight.dtype))):
            x, boxes, objectness = self._boxes(level, x)
            rows.append(torch.cat((boxes, objectness, self._classes(level, x)), dim=1).flatten(2).transpose(1, 2))
        return torch.cat(rows, dim=1)

    def _features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The neck's maps (B, C, H / 8, W / 8), then 16, 32 and perhaps 4, in the precision of the weights."""
        # Permuted, not copied: in memory the channels stay last, as the convolutions like them best.
        return self.backbone(images.permute(0, 3, 1, 2).to(self.head.stems[0].conv.weight.dtype))

    def _candidates(self, level: int, x: Tensor, score_threshold: Tensor) -> Tensor:
        """The rows of one of the head's levels."""
        x, boxes, objectness = self._boxes(level, x)
        B, _, H, W = x.shape
        anchors = (objectness.reshape(-1) >= score_threshold).nonzero().squeeze(1)
        image, row, column = anchors // (H * W), anchors % (H * W) // W, anchors % W
        chosen = F.embedding(anchors, torch.cat((boxes, objectness), dim=1).permute(0, 2, 3, 1).reshape(-1, 5))
        # A candidate costs five times its share of the whole map: half of 25 and of 9 values instead of 1 and 1.
        if self.lazy_classes and (torch.jit.is_tracing() or 5 * len(anchors) < B * H * W):
            classes = self._classes_at(level, x, image, row, column)
        else:
            everywhere = self._classes(level, x).permute(0, 2, 3, 1).reshape(-1, self.num_classes)
            classes = F.embedding(anchors, everywhere)
        rows = self._decode(level, torch.cat((chosen, classes), dim=1), row, column)
        return torch.cat((image.unsqueeze(1).float(), rows), dim=1)

    def _boxes(self, level: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both branches' input (B, C, H, W), the raw boxes (B, 4, H, W) and the objectness (B, 1, H, W)."""
        x = self.head.stems[level](x)
        features = self.head.reg_convs[level](x)
        objectness = self.head.obj_preds[level](features).float().sigmoid()
        return x, self.head.reg_preds[level](features).float(), objectness

    def _classes(self, level: int, x: Tensor) -> Tensor:
        """Class probabilities everywhere: (B, classes, H, W)."""
        return self.head.cls_preds[level](self.head.cls_convs[level](x)).float().sigmoid()

    def _classes_at(self, level: int, x: Tensor, image: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Class probabilities (n, classes) at n places of the map."""
        _, C, H, W = x.shape
        offsets = torch.arange(_WINDOW, device=x.device) - _WINDOW // 2
        rows, columns = row.unsqueeze(1) + offsets, column.unsqueeze(1) + offsets  # (n, 5)
        # Beyond the border the convolutions see zeros.
        inside = ((rows >= 0) & (rows < H)).unsqueeze(2) & ((columns >= 0) & (columns < W)).unsqueeze(1)  # (n, 5, 5)
        inside = inside.unsqueeze(1).to(x.dtype)
        lines = image.unsqueeze(1) * H + rows.clamp(0, H - 1)
        places = lines.unsqueeze(2) * W + columns.clamp(0, W - 1).unsqueeze(1)
        windows = F.embedding(places, x.permute(0, 2, 3, 1).reshape(-1, C)).permute(0, 3, 1, 2)
        first, second = self.window_convs[level]
        features = second(first(windows * inside) * inside[:, :, 1:-1, 1:-1])  # (n, C, 1, 1)
        return self.head.cls_preds[level](features).flatten(1).float().sigmoid()

    def _decode(self, level: int, rows: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Raw (..., n, 5 + classes) -> the same with the box in pixels of the input."""
        stride = self.head.strides[level]
        centres = (rows[..., :2] + torch.stack((column, row), dim=1)) * stride
        return torch.cat((centres, rows[..., 2:4].exp() * stride, rows[..., 4:]), dim=-1)


def _fuse(block: BaseConv) -> None:
    """Makes the BatchNorm part of the convolution before it."""
    conv, norm = block.conv, block.bn
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    block.bn = nn.Identity()


def _merge_focus(focus: Focus) -> BaseConv:
    """Focus's four shifted images and their 3x3 convolution as one 6x6 convolution of stride 2."""
    merged = focus.conv
    conv = merged.conv
    out_channels = conv.out_channels
    # Channels: the image's pixels at even row and column, odd row, odd column, both odd, BGR each.
    weight = conv.weight.reshape(out_channels, 2, 2, 3, 3, 3)  # (out, odd column, odd row, colour, row, column)
    weight = weight.permute(0, 3, 4, 2, 5, 1).reshape(out_channels, 3, 6, 6)
    # Without first weights: to draw them would move the random generator of a training that validates.
    merged.conv = skip_init(nn.Conv2d, 3, out_channels, 6, stride=2, padding=2)
    merged.conv.weight = nn.Parameter(weight.contiguous())
    merged.conv.bias = conv.bias
    return merged


def choose_candidates(outputs: Tensor, score_threshold: float) -> Tensor:
    """The rows of `InferenceYOLOX.dense`, (B, A, 5 + classes), as `InferenceYOLOX.forward` gives them."""
    image, anchor = (outputs[..., 4] >= score_threshold).nonzero(as_tuple=True)
    return torch.cat((image.unsqueeze(1).to(outputs.dtype), outputs[image, anchor]), dim=1)
