"""Parts of the training loop that can be tried without training."""

from types import SimpleNamespace

import pytest

from yolox_gssam.engine import trainer


def test_only_the_wait_for_data_counts_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that loading a batch moves by 2 s, noticing the end by 1 s and training on a batch by 5 s."""
    now = [100.0]
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: now[0])

    def load() -> "object":
        for batch in range(3):
            now[0] += 2
            yield batch
        now[0] += 1

    run = SimpleNamespace(train_loader=load(), data_seconds=10.0)
    for _ in trainer.Trainer._timed_batches(run):
        now[0] += 5
    assert run.data_seconds == 10 + 3 * 2 + 1
