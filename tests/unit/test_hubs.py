"""Data of hubs, brought by the hubs' own clients from servers on loopback that answer as the hubs do."""

import hashlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest

from serpens import stages
from serpens.config import Study
from serpens.errors import DataError, EnvironmentFaultError
from serpens.settings import collect as settings_of

TEXT = "x,y\n1,2\n3,4\n"
COMMIT = "4f" * 20
ARFF = "@RELATION flowers\n@ATTRIBUTE width REAL\n@ATTRIBUTE kind {lily, rose}\n@DATA\n0.5,rose\n?,lily\n"
DESCRIPTION = """<oml:data_set_description xmlns:oml="http://openml.org/openml">
<oml:id>61</oml:id><oml:name>flowers</oml:name><oml:version>3</oml:version><oml:description>d</oml:description>
<oml:format>ARFF</oml:format><oml:url>{url}/data/flowers.arff</oml:url><oml:file_id>61</oml:file_id>
<oml:licence>Public</oml:licence><oml:visibility>public</oml:visibility><oml:status>active</oml:status>
<oml:md5_checksum>{md5}</oml:md5_checksum></oml:data_set_description>"""
FEATURE = (
    "<oml:feature><oml:index>{place}</oml:index><oml:name>{name}</oml:name><oml:data_type>{kind}</oml:data_type>{more}"
    "<oml:is_target>false</oml:is_target><oml:is_ignore>false</oml:is_ignore>"
    "<oml:is_row_identifier>false</oml:is_row_identifier>"
    "<oml:number_of_missing_values>0</oml:number_of_missing_values></oml:feature>"
)
LEVELS = "<oml:nominal_value>lily</oml:nominal_value><oml:nominal_value>rose</oml:nominal_value>"
UNKNOWN = (
    '<oml:error xmlns:oml="http://openml.org/openml"><oml:code>111</oml:code>'
    "<oml:message>Unknown dataset</oml:message></oml:error>"
)


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.command, self.path, self.headers.get("Authorization")))
        status, body, headers = self.server.answer(self.path)
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    server.asked, server.address = [], f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def collected(**data):
    with stages.collect(settings_of(Study.model_validate({"question": "?", "target": "y", "data": data}))) as found:
        table = pa.Table.from_batches(found.stream.batches(), found.stream.schema)
        return table, found.source()


@pytest.fixture
def hugging(hub, monkeypatch):
    from huggingface_hub import constants

    def answer(path):
        if f"/{COMMIT}/t.csv" not in path:
            return 404, b"", {"X-Error-Code": "EntryNotFound"}
        return 200, TEXT.encode(), {"ETag": f'"{hashlib.sha1(TEXT.encode()).hexdigest()}"', "X-Repo-Commit": COMMIT}

    hub.answer = answer
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_hush")
    return hub


def test_a_file_of_the_hub_is_fetched_once_at_its_commit(hugging, tmp_path):
    data = {"huggingface": {"repository": "lab/cells", "revision": COMMIT, "file": "t.csv"}}
    table, source = collected(**data)
    assert table.to_pydict() == {"x": ["1", "3"], "y": ["2", "4"]}
    assert source.origin == f"hf://datasets/lab/cells@{COMMIT[:12]}/t.csv"
    assert (source.kind, source.sha256) == ("huggingface", hashlib.sha256(TEXT.encode()).hexdigest())
    assert {path for _, path, _ in hugging.asked if not path.startswith("/api/")} == {
        f"/datasets/lab/cells/resolve/{COMMIT}/t.csv"
    }
    hugging.asked.clear()
    collected(**data)
    assert [path for _, path, _ in hugging.asked if not path.startswith("/api/")] == []
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"hf_hush" in content for content in kept)
    with pytest.raises(DataError, match="sha256 must be 0000"):
        collected(**data, sha256="0" * 64)


def test_a_file_that_the_hub_has_not_is_named(hugging):
    with pytest.raises(DataError) as caught:
        collected(huggingface={"repository": "lab/cells", "revision": COMMIT, "file": "u.csv"})
    told = str(caught.value)
    assert told.startswith(f"hf://datasets/lab/cells@{COMMIT[:12]}/u.csv: the hub must have this file for you; ")
    assert "hush" not in told


def test_a_hub_that_is_not_reached_is_the_machine_s_fault(hugging):
    hugging.shutdown()
    hugging.server_close()
    with pytest.raises(EnvironmentFaultError, match=r"t\.csv: the hub must be reached from this machine; "):
        collected(huggingface={"repository": "lab/cells", "revision": COMMIT, "file": "t.csv"})


@pytest.fixture
def openml_hub(hub, monkeypatch):
    import openml

    def answer(path):
        if path.endswith("/data/61"):
            md5 = hashlib.md5(ARFF.encode()).hexdigest()
            return 200, DESCRIPTION.format(url=hub.address, md5=md5).encode(), {}
        if path.endswith("/data/features/61"):
            features = FEATURE.format(place=0, name="width", kind="numeric", more="")
            features += FEATURE.format(place=1, name="kind", kind="nominal", more=LEVELS)
            text = f'<oml:data_features xmlns:oml="http://openml.org/openml">{features}</oml:data_features>'
            return 200, text.encode(), {}
        if path.endswith(".arff"):
            return 200, ARFF.encode(), {}
        return 412, UNKNOWN.encode(), {}

    hub.answer = answer
    monkeypatch.setattr(openml.config, "server", f"{hub.address}/api/v1/xml")
    monkeypatch.setattr(openml.config, "connection_n_retries", 1)
    return hub


def test_a_data_set_of_openml_becomes_a_table(openml_hub):
    table, source = collected(openml=61)
    assert table.to_pydict() == {"width": [0.5, None], "kind": ["rose", "lily"]}
    assert (source.kind, source.origin) == ("openml", "OpenML data set 61 (flowers, version 3)")
    again, same = collected(openml=61, sha256=source.sha256)
    assert again.equals(table)
    assert same.sha256 == source.sha256
    with pytest.raises(DataError, match="data set 61 of OpenML: sha256 of its values must be 0000"):
        collected(openml=61, sha256="0" * 64)


def test_a_data_set_that_openml_has_not_is_named(openml_hub):
    with pytest.raises(DataError, match=r"data\.openml: OpenML must have a data set 62; .*Unknown dataset"):
        collected(openml=62)


@pytest.mark.parametrize(
    ("library", "data", "told"),
    [
        ("openml", {"openml": 61}, "openml must be installed to read from OpenML; it is not"),
        (
            "huggingface_hub",
            {"huggingface": {"repository": "lab/cells", "revision": COMMIT, "file": "t.csv"}},
            "huggingface_hub must be installed to read from the Hugging Face hub; it is not",
        ),
    ],
)
def test_a_client_that_is_missing_is_named_with_its_cure(monkeypatch, library, data, told):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(EnvironmentFaultError) as caught:
        collected(**data)
    assert str(caught.value) == f"{told}: .venv/bin/python -m pip install -r requirements/hubs.lock"
