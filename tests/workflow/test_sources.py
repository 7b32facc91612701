"""Whole studies whose data come from elsewhere: a server, a storage."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import yaml

# where `make test` puts what reads from S3, and a server of it
MOTO = Path(sys.prefix) / "moto"
SECRET = "hush4u/VerySecret"
STUDY = {
    "question": "Does x tell?",
    "target": "y",
    "split": {"validation": 0.2, "calibration": 0.1, "test": 0.2},
    "repeats": 1,
    "models": [{"name": "mlp", "family": "mlp", "width": 4, "n_blocks": 1}],
    "baselines": ["trivial"],
    "training": {"max_epochs": 2},
}


def table(n_rows=200):
    x = np.random.default_rng(0).normal(size=(n_rows, 2)).round(3)
    return "x,y\n" + "\n".join(f"{a},{'yes' if a + b > 0 else 'no'}" for a, b in x) + "\n"


class Quiet(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "t.csv").write_text(table())
    made = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    made.daemon_threads, made.asked = True, []
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def configure(project, **data):
    project.write("mine.yaml", yaml.safe_dump({"studies": {"s": STUDY | {"data": data}}}))


def source(project):
    return json.loads((project.folder / "results/s/data/source.json").read_text())


def test_a_study_from_an_address(project, server):
    digest = hashlib.sha256(table().encode()).hexdigest()
    address = f"http://127.0.0.1:{server.server_port}/t.csv"
    configure(project, url=address, sha256=digest)
    project.run()
    assert (source(project)["origin"], source(project)["sha256"], source(project)["rows"]) == (address, digest, 200)
    assert (project.folder / "results/s/report.html").exists()
    assert project.jobs() == []
    # another address of the same bytes is told in the report, and fetched from only when the file is lost
    configure(project, url=f"{address}?again", name="t.csv", mirrors=[address], sha256=digest)
    assert set(project.jobs()) == {"report", "all"}
    (project.folder / "results/s/data/raw.parquet").unlink()
    project.run()
    assert server.asked == ["/t.csv"]


def test_a_study_from_an_address_with_other_bytes_stops(project, server):
    configure(project, url=f"http://127.0.0.1:{server.server_port}/t.csv", sha256="0" * 64)
    done = project.snakemake()
    assert done.returncode != 0
    log = (project.folder / "results/s/logs/collect.log").read_text()
    found = hashlib.sha256(table().encode()).hexdigest()
    assert log.splitlines()[-1].endswith(f"bytes of the sha256 {found}, which are not kept")
    assert not [path for path in (project.folder / "results").rglob("data/*") if path.is_file()]


def test_an_object_that_changed_is_collected_anew(project, tmp_path_factory):
    file = tmp_path_factory.mktemp("store") / "t.csv"
    file.write_text(table())
    configure(project, storage=f"fs://{file}")
    project.run()
    assert source(project)["origin"] == f"fs://{file}"
    assert project.jobs() == []
    file.write_text(table(220))
    assert "collect" in project.jobs()
    project.run()
    assert source(project)["rows"] == 220
    # what Snakemake brought for the job went with it
    assert not list((project.folder / ".snakemake/storage").rglob("t.csv"))


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """Serve an empty bucket; whoever reads from it finds address and key where S3's own programs do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "PYTHONPATH": str(MOTO),
        "AWS_ACCESS_KEY_ID": "AKIAHUSH4U",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as moto:
        while True:
            assert moto.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield lambda action: subprocess.run(
            [sys.executable, "-c", f"import boto3; s3 = boto3.client('s3'); {action}"], check=True, env=os.environ
        )
        moto.terminate()


def test_a_study_from_s3(project, bucket):
    project.write("t.csv", table())
    file = str(project.folder / "t.csv")
    bucket(f"s3.create_bucket(Bucket='lab'); s3.upload_file({file!r}, 'lab', 'a/t.csv')")
    configure(project, storage="s3://lab/a/t.csv", sha256=hashlib.sha256(table().encode()).hexdigest())
    done = project.run()
    assert (source(project)["kind"], source(project)["origin"]) == ("storage", "s3://lab/a/t.csv")
    assert project.jobs() == []
    told = done.stdout + done.stderr
    told += "".join(path.read_text(errors="replace") for path in project.folder.rglob("*") if path.is_file())
    assert SECRET not in told
    assert "AKIAHUSH4U" not in told
