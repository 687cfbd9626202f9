"""A power cut at any use of the disk loses no checkpoint that was done, and no bit."""

import random

import powercut
import pytest

from advnets import disk


@pytest.mark.parametrize("kind", powercut.KINDS)
def test_no_power_cut_loses_a_bit(kind):
    uses, states, wrong = powercut.tried(kind, samples=3, draw=random.Random(0), at_most=8)
    assert (uses > 200, states, wrong) == (True, 8, [])


def test_the_simulated_disk_loses_what_is_not_flushed(monkeypatch):
    monkeypatch.setattr(disk, "flush", lambda path: None)
    wrong = powercut.tried("plain", samples=1, draw=random.Random(0), at_most=12)[2]
    assert any("is lost" in fault for fault in wrong)


def test_what_was_not_flushed_may_be_there_in_part():
    volatile = powercut.Disk()
    for op in [("create", "a"), ("write", "a", 0, b"12"), ("flush", "a"), ("flush", "."), ("write", "a", 2, b"3456")]:
        volatile.do(op)
    volatile.do(("rename", "a", "b"))
    seen = {
        (name, share): volatile.after(lambda name=name: name, lambda share=share: share)
        for name in (True, False)
        for share in (0.0, 0.5, 1.0, -1.0)
    }
    assert seen[False, 0.0] == {".": None, "./a": b"12"}
    assert seen[True, 0.5] == {".": None, "./b": b"1234"}
    assert seen[True, 1.0] == {".": None, "./b": b"123456"}
    assert seen[False, -1.0] == {".": None, "./a": b"12\0\0\0\0"}
