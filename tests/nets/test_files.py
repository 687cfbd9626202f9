"""Files of tensors: safetensors."""

import torch

from advnets.nets.files import read_tensors, write_tensors


def test_no_tensors_is_a_file_too(tmp_path):
    write_tensors({}, tmp_path / "none")
    assert read_tensors(tmp_path / "none") == {}


def test_a_tensor_that_needs_gradients_or_shares_memory_is_written(tmp_path):
    weight = torch.nn.Parameter(torch.arange(6.0))
    write_tensors({"a": weight, "b": weight.detach()[1:]}, tmp_path / "file")
    assert torch.equal(read_tensors(tmp_path / "file")["b"], torch.arange(1.0, 6.0))
