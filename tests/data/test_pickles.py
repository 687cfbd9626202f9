import os
import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advnets.data import pickles
from advnets.errors import InputError


def python2_pickle(data: np.ndarray, labels: list[int]) -> bytes:
    """The opcodes of an official CIFAR-10 batch: protocol 2, written by Python 2 with `numpy.core` and byte strings."""

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85" + text("b") + b"\x87Rq\x03(K\x01"
        + b"".join(map(number, data.shape)) + b"\x86"
        + b"cnumpy\ndtype\nq\x04" + text("u1") + b"K\x00K\x01\x87R(K\x03" + text("|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + len(data.tobytes()).to_bytes(4, "little") + data.tobytes() + b"tb"
    )  # fmt: skip
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    label = text("batch_label") + text("training batch 1 of 5")
    return b"\x80\x02}q\x00(" + label + text("labels") + listed + text("data") + array + b"u."


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["u1", "<i8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_survive_every_protocol(protocol: int, kind: str, order: str) -> None:
    data = np.asarray(np.arange(12).reshape(3, 4) + 120, kind, order=order)
    batch = pickles.parse(pickle.dumps({b"data": data, b"labels": [1, 2, 70_000]}, protocol=protocol), "batch")
    read = pickles.array(batch.get("data"), "batch")
    assert read.dtype == data.dtype
    np.testing.assert_array_equal(read, data)
    assert batch.get("labels") == [1, 2, 70_000]


def test_arrays_of_python_2() -> None:
    data = np.arange(12, dtype=np.uint8).reshape(3, 4) + 200
    content = python2_pickle(data, [7, 8, 9])
    np.testing.assert_array_equal(pickle.loads(content, encoding="bytes")[b"data"], data)  # the opcodes are real ones
    batch = pickles.parse(content, "batch")
    np.testing.assert_array_equal(pickles.array(batch.get("data"), "batch"), data)
    assert batch.get("labels") == [7, 8, 9]


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run(protocol: int, tmp_path) -> None:
    mark = tmp_path / "ran"
    content = pickle.dumps({b"data": Bomb(str(mark)), b"labels": []}, protocol=protocol)
    batch = pickles.parse(content, "batch")
    with pytest.raises(InputError):
        pickles.array(batch.get("data"), "batch")
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists()  # the same file does run in pickle


def test_arrays_of_objects_are_refused(refuses) -> None:
    batch = pickles.parse(pickle.dumps({"data": np.array([{}, []], object)}), "batch")
    with refuses("batch"):
        pickles.array(batch.get("data"), "batch")


def test_sizes_must_agree(refuses) -> None:
    content = python2_pickle(np.zeros((3, 4), np.uint8), []).replace(
        b"J\x03\0\0\0J\x04\0\0\0", b"J\xff\xff\xff\x7fJ\x04\0\0\0"
    )
    with refuses("batch"):
        pickles.array(pickles.parse(content, "batch").get("data"), "batch")


VALID = pickle.dumps({b"data": np.arange(6, dtype=np.uint8).reshape(2, 3), b"labels": [1, 2]}, protocol=2)


@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from([op.code.encode("latin1") for op in pickletools.opcodes])).map(b"".join),
    )
)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    read_or_refuse(content)


@given(st.integers(0, len(VALID) - 1), st.integers(0, 255), st.booleans())
def test_damaged_pickles_are_read_or_refused(position: int, value: int, cut: bool) -> None:
    read_or_refuse(VALID[:position] + (b"" if cut else bytes([value]) + VALID[position + 1 :]))


def read_or_refuse(content: bytes) -> None:
    try:
        batch = pickles.parse(content, "batch")
        if isinstance(batch, pickles.Pairs):
            pickles.array(batch.get("data"), "batch")
    except InputError as error:
        assert "\n" not in str(error)
