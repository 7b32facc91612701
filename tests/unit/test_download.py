"""A download from a real server on loopback that does what servers do."""

import errno
import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from serpens.errors import DataError, EnvironmentFaultError
from serpens.sources import download
from serpens.sources.download import Patience, fetch

BODY = bytes(range(256)) * 8192  # 2 MiB
RIGHT = hashlib.sha256(BODY).hexdigest()
OTHER = BODY[::-1]
HALF = len(BODY) // 2


class Server(ThreadingHTTPServer):
    """Answers each request by the next of its acts, and by the last one from then on.

    Attributes
    ----------
    asked
        The path of each request, and the byte from which it wanted the rest.
    """

    daemon_threads = True

    def __init__(self, *acts):
        super().__init__(("127.0.0.1", 0), Handler)
        self.acts, self.asked, self.headers = list(acts), [], []
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}/t.csv"

    def close(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.server.asked.append((self.path, start))
        self.server.headers.append(dict(self.headers))
        acts = self.server.acts
        act = acts.pop(0) if len(acts) > 1 else acts[0]
        self.close_connection = True
        act(self, start)

    def begin(self, status, length=None, **headers):
        self.send_response(status)
        self.send_header("Connection", "close")
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_):
        pass


def gives(body=BODY, tag='"1"', until=None, length=None, ranges=True, then=None):
    """Serve a file: the rest, where a range is asked for and the condition holds; up to a byte, and then what?"""

    def act(to, start):
        if start and (not ranges or to.headers.get("If-Range", tag) != tag):
            start = 0
        rest = body[start:until]
        headers = {"ETag": tag} if tag else {}
        if start >= len(body):
            to.begin(416, 0)
            return
        whole = length if length is not None else len(body) - start
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        to.begin(206 if start else 200, whole, **headers)
        to.wfile.write(rest)
        to.wfile.flush()
        if then:
            then(to)

    return act


def answers(status, **headers):
    return lambda to, start: to.begin(status, 0, **headers)


def stalls(to):
    to.server.over.wait()


@pytest.fixture
def serve():
    servers = []

    def start(*acts):
        servers.append(Server(*acts))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def get(tmp_path, waits):
    patience = Patience(tries=3, connect=5.0, stall=0.3, sleep=waits.append)

    def fetched(*addresses, sha256=RIGHT):
        return fetch(addresses, sha256, tmp_path / "downloads", patience)

    return fetched


def left(tmp_path):
    return sorted(path.name for path in (tmp_path / "downloads").iterdir() if not path.name.endswith(".lock"))


def refusal(error, action, *arguments, **named):
    with pytest.raises(error) as caught:
        action(*arguments, **named)
    return str(caught.value)


def test_a_file_is_fetched_once_and_is_called_by_its_sha256(serve, get, tmp_path):
    server = serve(gives())
    assert get(server.address).read_bytes() == BODY
    assert get(server.address).read_bytes() == BODY
    assert server.asked == [("/t.csv", 0)]
    assert left(tmp_path) == [RIGHT]


def test_a_kept_file_that_was_damaged_is_fetched_again(serve, get):
    server = serve(gives())
    get(server.address).write_bytes(b"damaged")
    assert get(server.address).read_bytes() == BODY
    assert len(server.asked) == 2


@pytest.mark.parametrize("then", [None, stalls], ids=["drops", "stalls"])
def test_what_breaks_off_goes_on_where_it_was(serve, get, then, waits):
    server = serve(gives(until=HALF, then=then), gives())
    assert get(server.address).read_bytes() == BODY
    assert server.asked == [("/t.csv", 0), ("/t.csv", HALF)]
    assert server.headers[1]["If-Range"] == '"1"'
    assert waits == [1.0]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(serve, get):
    server = serve(gives(OTHER, tag='"old"', until=HALF), gives())
    assert get(server.address).read_bytes() == BODY
    assert server.asked == [("/t.csv", 0), ("/t.csv", HALF)]


def test_a_file_that_changed_and_has_no_tag_is_fetched_anew_when_its_sha256_is_wrong(serve, get):
    server = serve(gives(OTHER, tag=None, until=HALF), gives(tag=None))
    assert get(server.address).read_bytes() == BODY
    assert [start for _, start in server.asked] == [0, HALF, 0]


def test_a_server_that_knows_no_ranges_starts_again(serve, get):
    server = serve(gives(until=HALF), gives(ranges=False))
    assert get(server.address).read_bytes() == BODY
    assert [start for _, start in server.asked] == [0, HALF]


def test_a_server_that_answers_with_another_range_is_asked_for_all(serve, get):
    def other(to, start):
        to.begin(206, 10, Content_Range=f"bytes 5-14/{len(BODY)}")
        to.wfile.write(BODY[5:15])

    server = serve(gives(until=HALF), other, gives())
    assert get(server.address).read_bytes() == BODY
    assert [start for _, start in server.asked] == [0, HALF, 0]


def chunked(body, *, cut=False):
    def act(to, start):
        to.begin(200, Transfer_Encoding="chunked")
        for place in range(0, len(body), 100_000):
            piece = body[place : place + 100_000]
            to.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if not cut:
            to.wfile.write(b"0\r\n\r\n")

    return act


def test_an_answer_without_a_length_ends_where_it_says(serve, get):
    server = serve(chunked(BODY[:HALF], cut=True), chunked(BODY))
    assert get(server.address).read_bytes() == BODY
    assert [start for _, start in server.asked] == [0, HALF]


def test_a_length_that_is_too_long_is_a_broken_answer(serve, get, tmp_path):
    server = serve(gives(length=len(BODY) + 7, tag=None))
    # all is there after the first answer, and nothing follows
    assert get(server.address).read_bytes() == BODY


def test_a_length_that_is_too_short_is_told_by_the_sha256(serve, get, tmp_path):
    server = serve(gives(length=HALF))
    found = hashlib.sha256(BODY[:HALF]).hexdigest()
    assert refusal(DataError, get, server.address) == (
        f"data.url must give a file of the sha256 {RIGHT}; {server.address}: gives 1,048,576 bytes of the sha256 "
        f"{found}, which are not kept"
    )
    assert left(tmp_path) == []


def test_a_wrong_sha256_says_what_was_found_and_keeps_nothing(serve, get, tmp_path):
    server = serve(gives(OTHER))
    found = hashlib.sha256(OTHER).hexdigest()
    assert refusal(DataError, get, server.address) == (
        f"data.url must give a file of the sha256 {RIGHT}; {server.address}: gives 2,097,152 bytes of the sha256 "
        f"{found}, which are not kept"
    )
    assert left(tmp_path) == []


def test_a_mirror_gives_what_the_first_address_does_not(serve, get):
    first, wrong, right = serve(answers(404)), serve(gives(OTHER)), serve(gives())
    assert get(first.address, wrong.address, right.address).read_bytes() == BODY


def test_a_mirror_goes_on_with_what_the_first_address_began(serve, get):
    first, second = serve(gives(until=HALF), answers(404)), serve(gives(tag='"2"'))
    assert get(first.address, second.address).read_bytes() == BODY
    assert second.asked == [("/t.csv", HALF)]
    assert "If-Range" not in second.headers[0]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_busy_server_is_asked_again_when_it_says(serve, get, waits, status):
    server = serve(answers(status, Retry_After="7"), answers(status), gives())
    assert get(server.address).read_bytes() == BODY
    assert waits == [7.0, 2.0]


def test_a_date_is_a_time_to_wait_too(serve, get, waits):
    server = serve(answers(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), gives())
    assert get(server.address).read_bytes() == BODY
    assert waits == [0.0]


def test_a_server_that_asks_for_a_day_is_left_alone(serve, get, waits):
    server = serve(answers(429, Retry_After="86400"))
    assert refusal(DataError, get, server.address) == (
        f"data.url must give a file of the sha256 {RIGHT}; {server.address}: answers 429 Too Many Requests, and asks "
        "to come back in 86,400 s"
    )
    assert waits == []


def test_waits_grow_and_end(serve, get, waits):
    server = serve(answers(503))
    assert refusal(DataError, get, server.address) == (
        f"data.url must give a file of the sha256 {RIGHT}; {server.address}: answers 503 Service Unavailable, "
        "3 times in a row"
    )
    assert waits == [1.0, 2.0]
    assert len(server.asked) == 3


def test_a_server_that_stalls_for_ever_is_given_up_and_what_came_is_kept(serve, get, tmp_path):
    server = serve(gives(until=1000, then=stalls))
    told = refusal(DataError, get, server.address)
    assert f"{server.address}: broke off after 1,000 of 2,097,152 bytes (" in told
    assert told.endswith("3 times in a row")
    assert [start for _, start in server.asked] == [0, 1000, 1000]
    assert left(tmp_path) == [f"{RIGHT}.part", f"{RIGHT}.part.json"]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "answers 404 Not Found"),
        (410, "answers 410 Gone"),
        (
            403,
            "answers 403 Forbidden: the file is not for everybody; if you may have it, put user and password of this "
            "host into ~/.netrc",
        ),
    ],
)
def test_what_is_not_there_is_not_asked_for_again(serve, get, waits, status, told):
    server = serve(answers(status))
    assert refusal(DataError, get, server.address) == (
        f"data.url must give a file of the sha256 {RIGHT}; {server.address}: {told}"
    )
    assert len(server.asked) == 1


def test_a_redirect_is_followed_and_takes_no_password_along(serve, get, monkeypatch, tmp_path):
    there = serve(gives())
    elsewhere = there.address.replace("127.0.0.1", "localhost") + "?X-Amz-Signature=hush"
    here = serve(answers(302, Location=elsewhere))
    (tmp_path / "netrc").write_text(
        "machine 127.0.0.1 login me password hush\nmachine localhost login me password hush\n"
    )
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert get(here.address).read_bytes() == BODY
    assert here.headers[0]["Authorization"].startswith("Basic ")
    assert "Authorization" not in there.headers[0]


def test_redirects_in_a_circle_end(serve, get):
    server = serve(answers(302, Location="/t.csv"))
    assert refusal(DataError, get, server.address).endswith(": redirects more than 5 times")
    assert len(server.asked) == 6


def test_a_redirect_to_a_file_of_the_server_s_own_choice_is_refused(serve, get):
    server = serve(answers(302, Location="file:///etc/passwd"))
    assert refusal(DataError, get, server.address).endswith(
        ": redirects to file:///etc/passwd, which is neither https nor http"
    )


def test_a_redirect_from_https_to_http_is_refused(serve, get, tmp_path, monkeypatch):
    import ssl

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    plain = serve(gives())
    server = serve(answers(302, Location=f"{plain.address}?token=hush"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    address = f"https://localhost:{server.server_port}/t.csv"
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert refusal(DataError, get, address) == (
        f"data.url must give a file of the sha256 {RIGHT}; {address}: redirects from https to {plain.address}?token=…, "
        "where anybody may read and change it"
    )
    assert plain.asked == []
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert "the certificate must be one that this machine trusts; " in refusal(DataError, get, address)


def test_no_network_is_said(get, serve):
    server = serve(gives())
    address = server.address
    server.close()
    told = refusal(EnvironmentFaultError, get, address)
    assert told.startswith(f"no connection: {address}: no answer (")
    assert told.endswith(
        ", 3 times in a row; does this machine have a network? A cluster's compute nodes often have none: run  "
        "snakemake --until collect  where there is one, or name a file that was brought here"
    )


def test_secrets_of_an_address_are_never_told(serve, get, caplog):
    caplog.set_level("INFO", logger="serpens")
    server = serve(answers(302, Location="http://me:hush@localhost:1/t.csv?token=hush&X-Amz-Signature=hush"))
    told = refusal(EnvironmentFaultError, get, server.address)
    assert "hush" not in told + caplog.text
    server = serve(answers(500))
    told = refusal(DataError, get, f"{server.address}?sig=hush")
    assert f"{server.address}?sig=…" in told
    assert "hush" not in told + caplog.text


def test_progress_is_told(serve, get, caplog, monkeypatch):
    monkeypatch.setattr(download, "TOLD_EVERY", 0.0)
    caplog.set_level("INFO", logger="serpens")
    server = serve(gives())
    get(server.address)
    told = [
        re.fullmatch(f"{server.address}: [0-9.]+ of 2.1 MB \\((\\d+)%\\) have come", each)
        for each in caplog.messages[:-1]
    ]
    assert all(told)
    assert told[-1][1] == "100"
    assert caplog.messages[-1] == f"{server.address}: 2,097,152 bytes have come, and their sha256 is right"


PROGRAM = """
import logging, os, sys
from pathlib import Path
from serpens.errors import SerpensError
from serpens.sources.download import Patience, fetch
logging.basicConfig(level="INFO")
if sys.argv[4:] and os.getuid() == 0:
    os.setuid(65534)
try:
    fetch((sys.argv[1],), sys.argv[2], Path(sys.argv[3]), Patience(tries=2, stall=60.0, first_wait=0.0))
except SerpensError as err:
    sys.exit(f"{type(err).__name__}: {err}")
"""


def child(server, folder, *more, **options):
    workflow = str(Path(__file__).parents[2] / "workflow")
    command = [sys.executable, "-c", PROGRAM, server.address, RIGHT, str(folder), *more]
    environment = os.environ | {"PYTHONPATH": workflow}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **options)


def test_a_download_that_was_killed_goes_on_in_the_next_run(serve, tmp_path):
    server = serve(gives(until=HALF, then=stalls), gives())
    part = tmp_path / f"{RIGHT}.part"
    with child(server, tmp_path) as killed:
        while not (part.exists() and part.stat().st_size >= HALF // 2):
            assert killed.poll() is None, killed.stderr.read()
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
    have = part.stat().st_size
    with child(server, tmp_path) as again:
        assert again.wait() == 0, again.stderr.read()
    assert server.asked == [("/t.csv", 0), ("/t.csv", have)]
    assert (tmp_path / RIGHT).read_bytes() == BODY
    assert not part.exists()


def test_a_folder_that_may_not_be_written_is_named(serve, tmp_path):
    tmp_path.chmod(0o500)
    with child(serve(gives()), tmp_path / "downloads", "as nobody") as forbidden:
        assert forbidden.stderr.read().splitlines()[-1] == (
            f"EnvironmentFaultError: {tmp_path}/downloads cannot be written; this user may not write there "
            f"({os.strerror(errno.EACCES)}): grant it, or run from another folder"
        )


def test_a_disk_that_is_full_is_said_and_what_came_is_kept(serve, tmp_path):
    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, HALF))

    server = serve(gives())
    with child(server, tmp_path, preexec_fn=limited) as full:
        told = full.stderr.read()
        assert full.wait() == 1
    assert told.splitlines()[-1] == (
        f"EnvironmentFaultError: {tmp_path / RIGHT}.part cannot be written; no room is left "
        f"({os.strerror(errno.EFBIG)}): free some, then run again; what has come is kept, and the next run goes on "
        "from there"
    )
    assert (tmp_path / f"{RIGHT}.part").stat().st_size <= HALF
    with child(server, tmp_path) as again:
        assert again.wait() == 0, again.stderr.read()
    assert (tmp_path / RIGHT).read_bytes() == BODY


def test_a_file_that_is_larger_than_the_disk_is_not_begun(serve, get, tmp_path):
    server = serve(gives(length=10**18))
    told = refusal(EnvironmentFaultError, get, server.address)
    assert told.startswith(f"{tmp_path / 'downloads'} must have room for 1,000,000,000,000.0 MB that are still to come")


def test_two_jobs_that_want_one_file_fetch_it_once(serve, tmp_path):
    server = serve(gives())
    found = []
    jobs = [threading.Thread(target=lambda: found.append(fetch((server.address,), RIGHT, tmp_path))) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert found == [tmp_path / RIGHT] * 4
    assert len(server.asked) == 1
