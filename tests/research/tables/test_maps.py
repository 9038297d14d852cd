"""How far maps vary, on networks whose maps are known."""

import torch

from yolox_gssam.attention import GSSAM
from yolox_gssam.experiment import GSSAM_STAGES
from yolox_gssam.models import STAGES, add_attention, build_yolox
from yolox_gssam.research.tables.maps import map_table, states_of

IMAGES = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([[[1.0, 30, 30, 20, 20]], [[0.0, 60, 40, 12, 9]]])
BATCHES = [(IMAGES, TARGETS), (IMAGES.flip(3), TARGETS)]


def make_network(gain: float) -> torch.nn.Module:
    """Every map is the sigmoid of `gain` times what it would be."""
    torch.manual_seed(0)
    model = add_attention(build_yolox(2, 0.33, 0.125, depthwise=True), "gssam", 1, {**GSSAM_STAGES, "residual": True})
    for module in model.modules():
        if isinstance(module, GSSAM):
            module.embedding[-1].weight.data *= gain
    return model


def test_flat_maps() -> None:
    """Without contrast every pixel has sigmoid(0), and the sigmoid lets a quarter of the gradient through."""
    states = states_of(make_network(0.0), BATCHES, "flat", trained=False)
    assert [state.stage for state in states] == list(STAGES)
    for state in states:
        assert (state.low, state.high, state.deviation, state.saturated) == (0.5, 0.5, 0.0, 0.0)


def test_a_growing_contrast_saturates_the_map_and_starves_the_embedding() -> None:
    usual, large = (
        {state.stage: state for state in states_of(make_network(gain), BATCHES, "x", trained=False)}
        for gain in (1.0, 1e6)
    )
    for stage in STAGES:
        assert 0.5 <= usual[stage].low <= usual[stage].high <= 1
        assert large[stage].saturated > 0.9
        assert usual[stage].gradient > 0
        assert large[stage].gradient < 1e-3 * usual[stage].gradient


def test_the_numbers_are_those_of_the_maps() -> None:
    model = make_network(30.0)
    model(IMAGES.float(), TARGETS)  # so that the running statistics say something
    seen: list[torch.Tensor] = []
    stem = model.backbone.backbone.attention["stem"]
    stem.register_forward_pre_hook(lambda module, inputs: seen.append(module.attention_map(inputs[0].detach())))
    states = states_of(model, BATCHES[:1], "x", trained=True)
    (stem_map, *_) = seen
    maps = stem_map.flatten(1)
    state = states[0]
    assert state.low == maps.amin(1).mean()
    assert state.high == maps.amax(1).mean()
    torch.testing.assert_close(state.saturated, ((maps < 0.01) | (maps > 0.99)).float().mean().item())
    assert "| x " in map_table(states)
