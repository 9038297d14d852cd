"""Whether a run of another length would have begun as one did."""

from dataclasses import replace

import pytest

from yolox_gssam.common.errors import UserError
from yolox_gssam.engine.schedule import ScheduledStep, require_same_steps


def test_another_schedule_is_refused_with_what_differs() -> None:
    steps = [ScheduledStep(epoch, 0.1, without_mosaic=False, validated=False) for epoch in range(3)]
    require_same_steps(steps, steps, (3, 6))
    for change, words in (
        ({"lr": 0.2}, "another learning rate in epoch 2"),
        ({"without_mosaic": True}, "mosaic off in epoch 2"),
        ({"validated": True}, "a validation after epoch 2"),
    ):
        other = [steps[0], replace(steps[1], **change), steps[2]]
        with pytest.raises(UserError, match=words):
            require_same_steps(steps, other, (3, 6))
