"""`advnets lab`: who may open the page, and what it may load; refusals in one line."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from advnets.cli.main import main
from advnets.errors import InputError
from advnets.lab.serve import listen


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    words = [sys.executable, "-m", "advnets", "lab", "--dir", str(folder), "--json"]
    (folder / "secret").write_text("secret")
    (folder / "scratch").mkdir()
    environment = {**os.environ, "TMPDIR": str(folder / "scratch")}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment)
    text = ""
    while not text.endswith("}\n"):
        line = process.stdout.readline()
        assert line, "it ended"
        text += line
    yield process, json.loads(text), folder
    process.kill()
    process.stdout.close()


def answer(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as response:
        return response.status, response.headers, response.read().decode()


def test_the_page_is_there_once_the_address_is_printed(lab):
    _, told, _ = lab
    assert told["runs"] == [] and told["url"].startswith("http://127.0.0.1:")
    status, headers, text = answer(told["url"])
    assert status == 200 and "advnets lab" in text
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "http" not in policy, "nothing comes from elsewhere"


def refusal(url, **headers):
    with pytest.raises(urllib.error.HTTPError) as refused:
        answer(url, **headers)
    refused.value.close()
    return refused.value.code


def test_it_answers_to_its_own_name_only(lab):
    _, told, _ = lab
    assert refusal(told["url"], Host="evil.example") == 400, "as of a page that has its name point to 127.0.0.1"


def test_no_file_of_this_machine_is_served(lab):
    _, told, folder = lab
    for path in (folder / "secret", "/etc/passwd", "secret", "../secret"):
        assert refusal(f"{told['url']}/gradio_api/file={path}") in (403, 404)


def test_it_is_not_reached_from_other_machines(lab):
    _, told, _ = lab
    port = int(told["url"].rsplit(":", 1)[1])
    with socket.socket() as other, pytest.raises(OSError):
        other.connect(("127.0.0.2", port))  # another address of this machine, where it would listen on all


def test_interrupting_it_is_how_it_ends(lab):
    process, _, folder = lab
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert not [*(folder / "scratch").iterdir()], "what it kept beside the runs is gone"


def test_a_port_in_use_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            InputError, match=f"--port is {port}, which is in use .* allowed: a free one .*; set --port"
        ):
            listen(port)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--port", "0"], "--port is 0, allowed: 1 to 65535; set --port"),
        (["nowhere"], "nowhere"),
    ],
)
def test_wrong_words_are_refused_in_one_line(words, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["lab", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("advnets: error: ") and line in error and error.count("\n") == 1


def test_without_gradio_it_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [name for name in sys.modules if name.startswith("advnets.lab.serve")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["lab"]) == 2
    assert capsys.readouterr().err.endswith("is not installed, allowed: with it; pip install 'advnets[lab]'\n")
