"""Several files as one table, packed files, joined and transposed tables."""

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serpens import contents, stages
from serpens.config import Study
from serpens.configfile import load_project
from serpens.errors import ConfigurationError, DataError
from serpens.settings import collect as settings_of
from serpens.sources.paths import written_out
from serpens.sources.registry import ENDINGS

TEXT = "x,y\n1,2\n3,4\n"
COLUMNS = {"x": ["1", "3"], "y": ["2", "4"]}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contents.remembered.cache_clear()
    return tmp_path


def write(name, content):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def collected(data, test_on=None, **read):
    given = {"question": "Why?", "target": "y", "data": data, "read": read, "test_on": test_on or {}}
    with stages.collect(settings_of(Study.model_validate(given))) as found:
        table = pa.Table.from_batches(found.stream.batches(), found.stream.schema)
        return table, found.source()


def refusal(*arguments, **named):
    with pytest.raises(DataError) as caught:
        collected(*arguments, **named)
    assert not list(Path(".snakemake/serpens/unpacked").iterdir())
    return str(caught.value)


def unfit(*given):
    with pytest.raises(ConfigurationError) as caught:
        written_out(given)
    return str(caught.value)


def zipped(name="t.zip", **members):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return name


def tarred(name, members, **entry):
    with tarfile.open(name, f"w:{name.rpartition('.')[2] if '.tar.' in name else ''}") as archive:
        for member, content in members.items():
            about = tarfile.TarInfo(member)
            about.size = len(content)
            for key, value in entry.items():
                setattr(about, key, value)
            archive.addfile(about, io.BytesIO(content.encode()))
    return name


def test_parts_are_in_the_natural_order_of_their_names_and_each_is_counted():
    for number in (10, 2, 1):
        write(f"parts/p-{number}.csv", f"x,y\n{number},0\n{number},1\n"[: None if number > 1 else 8])
    table, source = collected("parts/*.csv")
    assert table["x"].to_pylist() == ["1", "2", "2", "10", "10"]
    assert [(part.origin, part.rows) for part in source.parts] == [
        ("parts/p-1.csv", 1),
        ("parts/p-2.csv", 2),
        ("parts/p-10.csv", 2),
    ]
    digests = [hashlib.sha256(Path(part.origin).read_bytes()).hexdigest() for part in source.parts]
    assert [part.sha256 for part in source.parts] == digests
    assert source.sha256 == hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert (source.origin, source.rows, source.columns) == ("parts/p-1.csv and 2 more", 5, 2)


def test_a_list_keeps_its_order_and_parts_may_have_their_columns_in_another():
    write("b.csv", "x,y\n1,2\n")
    write("a.csv", "y,x\n4,3\n")
    assert collected({"file": ["b.csv", "a.csv"]})[0].to_pydict() == COLUMNS


def test_folders_become_columns():
    for year, month in (("2020", "1"), ("2020", "10"), ("2020", "2"), ("__HIVE_DEFAULT_PARTITION__", "a%2Fb")):
        write(f"sales/year={year}/month={month}/part.csv", "x\n1\n")
    write("sales/_SUCCESS", "")
    write("sales/.hidden.csv", "z\n")
    table, source = collected("sales/")
    assert table.to_pydict() == {
        "x": ["1"] * 4,
        "year": ["2020"] * 3 + [None],
        "month": ["1", "2", "10", "a/b"],
    }
    assert len(source.parts) == 4


def test_types_of_parts_go_together_or_are_refused():
    pq.write_table(pa.table({"x": [1]}), "a.parquet")
    pq.write_table(pa.table({"x": [0.5]}), "b.parquet")
    assert collected({"file": ["a.parquet", "b.parquet"]})[0]["x"].to_pylist() == [1.0, 0.5]
    pq.write_table(pa.table({"x": [2**60 + 1]}), "c.parquet")
    told = refusal({"file": ["b.parquet", "c.parquet"]})
    assert told.startswith("c.parquet: column 'x' must be double, as in other files; ")
    write("d.csv", "x\n1\n")
    assert refusal({"file": ["a.parquet", "d.csv"]}) == (
        "d.csv must have columns of the types of a.parquet; column 'x' is string there, and int64 in a.parquet: give "
        "both as text, or both as Parquet of the same types"
    )


def test_a_part_that_lacks_a_column_is_named():
    write("a.csv", TEXT)
    write("b.csv", "x,z\n1,2\n")
    told = "b.csv must have the columns of a.csv; it lacks y, and has besides z"
    assert refusal({"file": ["a.csv", "b.csv"]}) == told
    write("config.yaml", "studies: {s: {question: Why, target: y, data: {file: [a.csv, b.csv]}}}")
    with pytest.raises(ConfigurationError, match=f"studies.s.data.file: {told}"):
        load_project("config.yaml")


def test_a_key_that_is_in_the_folder_and_in_the_file_is_refused():
    write("sales/x=1/a.csv", TEXT)
    assert refusal("sales/") == (
        "sales/x=1/a.csv: 'x' must stand in the name of a folder or in the file; it is in both"
    )


def test_what_is_no_table_is_not_passed_over():
    write("sales/a.csv", TEXT)
    write("sales/notes.doc", "")
    assert unfit("sales/") == (
        f"sales/notes.doc lies in 'sales/' and is no table (one of {ENDINGS}): name the tables alone, by a pattern "
        "such as parts/*.csv"
    )


def test_what_tells_about_tables_is_none():
    for name in ("a.csv", "README.txt", "x=1/LICENSE", "x=1/b.csv", "license.txt", "Citation.cff", "x=1/readme.md"):
        write(f"sales/{name}", "x\n" * name.endswith(".csv"))
    assert written_out(["sales/"]) == ["sales/a.csv", "sales/x=1/b.csv"]
    assert written_out(["sales/*.*"]) == ["sales/a.csv"]
    # who names it means it; a word more, and it is a table
    assert written_out(["sales/README.txt"]) == ["sales/README.txt"]
    write("sales/readme_counts.txt", "x\n1\n")
    assert written_out(["sales/*.txt"]) == ["sales/readme_counts.txt"]
    write("b/README.txt", "")
    assert unfit("b/") == "there must be a table that lies in 'b/'; there is none"


def test_a_folder_is_one_of_tables_or_one_of_images():
    write("x/year=2020/a.csv", "n\n1\n")
    assert written_out(["x/"]) == ["x/year=2020/a.csv"]
    assert collected("x/")[0].to_pydict() == {"n": ["1"], "year": ["2020"]}
    write("x/cat/1.PNG", "")
    assert unfit("x/") == (
        "the folder 'x/' must hold tables or images; it holds x/year=2020/a.csv and x/cat/1.PNG: name the tables "
        "alone, by a pattern such as parts/*.csv, and if they name the images, say so with read.images"
    )
    Path("x/year=2020/a.csv").unlink()
    write("x/README.txt", "cats")
    assert written_out(["x/"]) == ["x/"]


def test_each_file_has_its_sha256():
    write("a.csv", TEXT)
    write("b.csv", TEXT + "5,6\n")
    right = [hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in ("a.csv", "b.csv")]
    files = {"file": ["a.csv", "b.csv"]}
    assert collected(files | {"sha256": right})[1].rows == 5
    assert refusal(files | {"sha256": right[::-1]}).startswith(f"a.csv: sha256 must be {right[1]}; it is {right[0]}: ")
    assert refusal(files | {"sha256": right[:1]}) == (
        "data.sha256 must be one for each file, in their order; there are 1 for 2 files"
    )


def test_no_rows_at_all_are_refused_and_an_empty_part_is_not():
    write("a.csv", "x,y\n")
    write("b.csv", TEXT)
    assert collected({"file": ["a.csv", "b.csv"]})[1].parts[0].rows == 0
    write("b.csv", "x,y\n")
    assert refusal({"file": ["a.csv", "b.csv"]}) == (
        "a.csv and 1 more: there must be at least one row of data; there is none"
    )


@pytest.mark.parametrize("name", ["t.tar", "t.tar.gz", "t.tar.xz", "t.tar.bz2", "t.zip"])
def test_the_only_table_of_an_archive_is_read(name):
    members = {"notes/readme.txt": "hello", "data/t.csv": TEXT, "__MACOSX/t.csv": "junk", "data/._t.csv": "junk"}
    members["LICENSE"] = "free"
    zipped(name, **members) if name.endswith(".zip") else tarred(name, members)
    table, source = collected(name)
    assert table.to_pydict() == COLUMNS
    assert (source.origin, source.sha256) == (name, hashlib.sha256(Path(name).read_bytes()).hexdigest())


def test_a_member_may_be_packed_itself_and_be_named():
    with zipfile.ZipFile("t.zip", "w") as archive:
        archive.writestr("a.csv", "z\n")
        archive.writestr("b.csv.gz", gzip.compress(TEXT.encode()))
    assert collected("t.zip", member="b.csv.gz")[0].to_pydict() == COLUMNS
    assert refusal("t.zip") == "t.zip: must hold one table, or read.member must name one; it holds 2: a.csv, b.csv.gz"
    assert refusal("t.zip", member="b.csv.g") == (
        "t.zip: there is no member 'b.csv.g'; did you mean 'b.csv.gz'? it holds: a.csv, b.csv.gz"
    )


@pytest.mark.parametrize("name", ["a.doc", "README.txt"])
def test_an_archive_without_a_table_says_what_it_holds(name):
    assert (
        refusal(zipped(**{name: "x"})) == f"t.zip: must hold one table, or read.member must name one; it holds {name}"
    )


def test_every_table_is_read_as_the_study_says():
    text = "s;y\n1,5;2\n"
    write("t.csv", text)
    write("cohort.csv", text)
    zipped(**{"a.csv": "z\n", "b.csv": text})
    zipped("sheet.zip", **{"b.csv": "s;site\n1,5;north\n"})
    join = [{"file": "sheet.zip", "on": "s"}]
    found = collected({"file": "t.zip", "join": join}, member="b.csv", delimiter=";")[0]
    assert found.to_pydict() == {"s": ["1,5"], "y": ["2"], "site": ["north"]}
    outside = collected("t.csv", test_on={"file": "cohort.csv"}, delimiter=";")[0]
    assert outside.select(["s", "y"]).to_pydict() == {"s": ["1,5"] * 2, "y": ["2"] * 2}


@pytest.mark.parametrize("name", ["../t.csv", "/tmp/t.csv", "a/../../t.csv", "C:/t.csv", "..\\t.csv"])
@pytest.mark.parametrize("kind", ["t.zip", "t.tar"])
def test_an_archive_that_leaves_itself_is_refused(name, kind):
    members = {"fine.csv": TEXT, name: TEXT}
    zipped(kind, **members) if kind == "t.zip" else tarred(kind, members)
    assert refusal(kind) == (
        f"{kind}: an archive may hold nothing outside itself; it holds {name!r}: do not trust it, "
        "and pack the table anew"
    )
    assert sorted(os.listdir()) == [".snakemake", kind]  # noqa: PTH208


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_a_tar_is_refused(kind):
    tarred("t.tar", {"t.csv": ""}, type=kind, linkname="/etc/passwd")
    assert refusal("t.tar") == (
        "t.tar: the member 't.csv' must be a file; it is a link: name the file that it points to"
    )


def test_a_link_in_a_zip_is_refused():
    about = zipfile.ZipInfo("t.csv")
    about.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile("t.zip", "w") as archive:
        archive.writestr(about, "/etc/passwd")
    assert refusal("t.zip") == (
        "t.zip: the member 't.csv' must be a file; it is a link: name the file that it points to"
    )


@pytest.mark.parametrize("name", ["t.csv.gz", "t.zip", "t.tar.gz"])
def test_a_bomb_is_not_unpacked(name, monkeypatch):
    monkeypatch.setattr("serpens.sources.archives.FREE", 1000)
    much = "x,y\n" + "0,0\n" * 500_000
    if name == "t.csv.gz":
        write(name, gzip.compress(much.encode()))
    else:
        zipped(name, **{"t.csv": much}) if name == "t.zip" else tarred(name, {"t.csv": much})
    told = refusal(name)
    assert told.startswith(f"{name}: must unpack to at most 200 times its size; it is more, ")
    assert told.endswith(", as of a file that is made to fill a disk: if it is right, raise read.max_ratio")
    assert collected(name, max_ratio=2000)[1].rows == 500_000
    assert refusal(name, max_ratio=2000, max_expanded_mb=1) == (
        f"{name}: must unpack to at most 1 MB; it is more, from {Path(name).stat().st_size:,} bytes: "
        "if that is right, raise read.max_expanded_mb"
    )


@pytest.mark.parametrize("name", ["t.zip", "t.tar.gz", "t.tar.xz", "t.tar.bz2", "t.csv.gz"])
def test_a_packed_file_that_is_cut_off_is_refused(name):
    noise = "x,y\n" + "".join(f"{hash((row, 'x'))},{hash((row, 'y'))}\n" for row in range(20_000))
    if name == "t.csv.gz":
        write(name, gzip.compress(noise.encode()))
    else:
        zipped(name, **{"t.csv": noise}) if name == "t.zip" else tarred(name, {"t.csv": noise})
    whole = Path(name).read_bytes()
    write(name, whole[: len(whole) // 2])
    assert refusal(name).startswith(f"{name}: cannot be read; ")


def test_rows_find_their_row_in_another_table():
    write("t.csv", "s,y\na,1\nb,2\na,3\n")
    write("sheet.csv", "sample,site\nb,north\na,south\nc,west\n")
    data = {"file": "t.csv", "join": [{"file": "sheet.csv", "on": {"s": "sample"}}]}
    table, source = collected(data)
    assert table.to_pydict() == {"s": ["a", "b", "a"], "y": ["1", "2", "3"], "site": ["south", "north", "south"]}
    (told,) = source.joined
    assert (told.rows_matched, told.rows_unmatched, told.other_matched, told.other_unmatched) == (3, 0, 2, 1)


@pytest.mark.parametrize(
    ("unmatched", "expected"),
    [
        ("drop", {"s": ["a"], "y": ["1"], "site": ["south"]}),
        ("keep", {"s": ["a", "z", ""], "y": ["1", "2", "3"], "site": ["south", None, None]}),
    ],
)
def test_rows_without_a_row_are_dropped_or_kept_and_counted(unmatched, expected):
    write("t.csv", "s,y\na,1\nz,2\n,3\n")
    write("sheet.csv", "s,site\n,nowhere\na,south\n")
    data = {"file": "t.csv", "join": [{"file": "sheet.csv", "on": "s", "unmatched": unmatched}]}
    table, source = collected(data)
    assert table.to_pydict() == expected
    assert (source.joined[0].rows_matched, source.joined[0].rows_unmatched) == (1, 2)
    assert source.rows == len(expected["s"])


def test_rows_without_a_row_are_refused_else_with_their_number_and_keys():
    write("t.csv", "s,day,y\n" + "".join(f"a,{day},0\n" for day in range(9)) + ",1,0\n")
    write("sheet.csv", "s,day,site\na,0,south\na,1,south\n")
    assert refusal({"file": "t.csv", "join": [{"file": "sheet.csv", "on": {"s": "s", "day": "day"}}]}) == (
        "sheet.csv: every row of the main table must have its key (s, day) there; 8 of 10 rows have not: 'a' and '2', "
        "'a' and '3', 'a' and '4', 'a' and '5', 'a' and '6', .... Mend the keys, or say unmatched: drop or "
        "unmatched: keep"
    )


@pytest.mark.parametrize(
    ("sheet", "told"),
    [
        (
            "s,site\na,1\nb,2\na,3\n",
            "sheet.csv: each key must occur once, so that a row of the main table finds one row; rows 1 and 3 both "
            "have 'a' in s",
        ),
        ("t,site\na,1\n", "sheet.csv: the key 's' must be a column of sheet.csv; its columns: t, site"),
        (
            "s,y\na,1\n",
            "sheet.csv: a column must be in one of the tables, or be a key; in both: y: rename one, or join on it too",
        ),
    ],
)
def test_a_table_that_cannot_be_joined(sheet, told):
    write("t.csv", "s,y\na,1\n")
    write("sheet.csv", sheet)
    assert refusal({"file": "t.csv", "join": [{"file": "sheet.csv", "on": "s"}]}) == told


def test_keys_of_two_kinds_are_refused_and_widths_do_not_matter():
    pq.write_table(pa.table({"s": pa.array([1, 2], pa.int32()), "y": [0, 1]}), "t.parquet")
    pq.write_table(pa.table({"s": pa.array([2, 1], pa.int64()), "site": ["b", "a"]}), "sheet.parquet")
    data = {"file": "t.parquet", "join": [{"file": "sheet.parquet", "on": "s"}]}
    assert collected(data)[0]["site"].to_pylist() == ["a", "b"]
    write("sheet.csv", "s,site\n1,a\n2,b\n")
    assert refusal(data | {"join": [{"file": "sheet.csv", "on": "s"}]}) == (
        "sheet.csv: keys must be of one type; 's' of the main table is int32, and 's' is string: give both tables as "
        "text, or both as Parquet of the same types"
    )


def test_a_table_is_turned_round_and_joined_with_its_sample_sheet():
    write("genes.csv", "gene,s1,s2,s3\nTP53,1,2,3\nBRCA1,4,5,\n")
    write("sheet.csv", "sample,y\ns3,c\ns1,a\ns2,b\n")
    data = {"file": "genes.csv", "transpose": "sample", "join": [{"file": "sheet.csv", "on": "sample"}]}
    table, source = collected(data)
    assert table.to_pydict() == {
        "sample": ["s1", "s2", "s3"],
        "TP53": ["1", "2", "3"],
        "BRCA1": ["4", "5", ""],
        "y": ["a", "b", "c"],
    }
    assert (source.rows, source.columns, source.transposed) == (3, 4, "sample")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "gene,s1\nA,1\nB,2\nA,3\n",
            "genes.csv: every feature must have a name of its own; row 3 and row 1 are both 'A'",
        ),
        (
            "gene,s1\nA,1\nsample,2\n",
            "genes.csv: every feature must have a name of its own; row 2 and the new column of data.transpose are both "
            "'sample'",
        ),
        ("gene,s1\nA,1\n,2\n", "genes.csv: the first column must name every feature; row 2 of 'gene' is empty"),
        (
            "gene\nA\n",
            "genes.csv: a table that is transposed must have a column for each sample; it has 'gene' alone",
        ),
    ],
)
def test_a_table_that_cannot_be_turned_round(text, told):
    write("genes.csv", text)
    assert refusal({"file": "genes.csv", "transpose": "sample"}) == told


def test_what_a_killed_job_unpacked_is_removed_by_the_next():
    left = Path(f".snakemake/serpens/unpacked/{os.uname().nodename}-4194999-abc/0.csv")
    write(left, TEXT)
    write("t.csv", TEXT)
    collected("t.csv")
    assert not left.parent.exists()
