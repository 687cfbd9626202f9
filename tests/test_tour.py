"""The notebook runs from its first cell to its last, at a tiny size, in the Python of the tests."""

import json
import os
import re
import sys
from pathlib import Path

import nbclient
import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

NOTEBOOK = Path(__file__).parents[1] / "examples" / "tour.ipynb"
SAYS = (
    "30 steps",
    "nats, bandwidth 0.",
    "training images",
    "p_g = N(0, 1): C(G) = -1.386294, −log 4 + 2·JSD = -1.386294",
)


def run(notebook, folder):
    """Execute every cell in a kernel of this interpreter, whatever kernels the user has; return all outputs."""
    specs = KernelSpecManager(kernel_dirs=[str(Path(sys.prefix, "share", "jupyter", "kernels"))])
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # figures are looked for
    environment |= {"TOUR_STEPS": "30", "IPYTHONDIR": str(folder / "ipython")}
    client = nbclient.NotebookClient(notebook, km=kernel, timeout=60, resources={"metadata": {"path": str(folder)}})
    client.execute(cleanup_kc=True, env=environment)
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow  # ten seconds of imports in a process of its own
@pytest.mark.filterwarnings("default")  # of libraries that are not ours
def test_it_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    outputs = run(nbformat.read(NOTEBOOK, as_version=4), tmp_path)
    said = "".join(output.get("text", "") for output in outputs)
    assert all(wanted in said for wanted in SAYS), said
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 4
    assert not [output for output in outputs if output["output_type"] == "error"]


def test_it_is_stored_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None, cell["id"]
    assert nbformat.validate(notebook) is None
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    assert not re.search(r"/(home|root|work|tmp)/", text)
