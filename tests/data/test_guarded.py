import time

import pytest

from yolox_gssam.data import guarded
from yolox_gssam.data.guarded import GuardError, call_guarded


def test_results_and_errors_come_back() -> None:
    assert call_guarded(eval, "2 + 3") == 5
    with pytest.raises(ZeroDivisionError):
        call_guarded(eval, "1 / 0")
    first = call_guarded(eval, "__import__('os').getpid()")
    assert call_guarded(eval, "__import__('os').getpid()") == first


def test_a_crash_ends_the_call_alone() -> None:
    with pytest.raises(GuardError, match="crashed"):
        call_guarded(eval, "__import__('os').abort()")
    assert call_guarded(eval, "1") == 1


def test_a_call_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    call_guarded(eval, "1")
    monkeypatch.setattr(guarded, "MAX_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(GuardError, match=r"longer than 0\.5 s"):
        call_guarded(eval, "__import__('time').sleep(60)")
    assert time.monotonic() - start < 5


@pytest.mark.skipif(not guarded.Path("/proc/self/statm").exists(), reason="only Linux holds a process to a limit")
def test_memory_is_bounded() -> None:
    with pytest.raises(MemoryError):
        call_guarded(eval, f"len(bytearray({2 * guarded.MAX_MEMORY}))")
