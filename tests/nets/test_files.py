"""Files of tensors: the format of safetensors, written by the project itself."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from advnets.nets.files import _KINDS, read_tensors, write_tensors


def tensors(seed: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    made = {
        f"{name}.{index}": torch.randint(0, 2, shape, generator=random).to(dtype)
        for index, (dtype, name) in enumerate((d, n) for d in _KINDS for n in ("b", "a", 'é"\\'))
        for shape in [tuple(torch.randint(0, 5, (int(torch.randint(0, 4, (), generator=random)),), generator=random))]
    }
    return made | {"turned": torch.randn(3, 5, generator=random).T, "part": torch.randn(9, generator=random)[2:5]}


@pytest.mark.parametrize("seed", range(4))
def test_files_are_byte_for_byte_those_of_the_library(tmp_path, seed):
    content = tensors(seed)
    write_tensors(content, tmp_path / "ours")
    save_file({name: tensor.contiguous() for name, tensor in content.items()}, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    back = load_file(tmp_path / "ours")
    assert {*back} == {*content}
    assert all(torch.equal(back[name], content[name]) and back[name].dtype == content[name].dtype for name in content)


def test_no_tensors_is_a_file_too(tmp_path):
    write_tensors({}, tmp_path / "none")
    assert read_tensors(tmp_path / "none") == {}


def test_a_tensor_that_needs_gradients_or_shares_memory_is_written(tmp_path):
    weight = torch.nn.Parameter(torch.arange(6.0))
    write_tensors({"a": weight, "b": weight.detach()[1:]}, tmp_path / "file")
    assert torch.equal(read_tensors(tmp_path / "file")["b"], torch.arange(1.0, 6.0))
