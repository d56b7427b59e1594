"""Files of requests are read strictly, JSON lines and spreadsheets alike; what is wrong is named with its line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from composer.batch.article_job import BatchConfig
from composer.batch.requests import KEYS, BatchJob, read_jobs
from composer.batch.summary import BatchSummary
from composer.errors import UsageError
from composer.i18n import localize
from composer.request import ComposeRequest
from composer.settings import IllustrationSettings, Settings, WritingSettings
from retrieval.filters import Filters
from tests.composer.article_samples import picture


def words(job: BatchJob) -> str:
    return localize(job.error, "en") if job.error is not None else ""


def test_all_fields_of_a_request_can_be_given_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "trip.md").write_bytes(b"# Trip\r\n\r\nBy boat.\r\n")
    boat = picture(tmp_path / "pics", "boat.jpg").path
    line = {
        "illustrate": "trip.md",
        "instruction": "calm pictures",
        "use_images": ["pics/boat.jpg"],
        "may_use": ["pics/boat.jpg"],
        "tone": "vivid",
        "images": 4,
        "language": "en",
        "seed": 9,
        "words": 300,
        "filters": {"licenses": ["CC BY"], "tags": ["sea"], "min_side_px": 200},
    }
    (tmp_path / "r.jsonl").write_text(
        "\ufeff" + json.dumps(line) + "\r\n" + json.dumps({"illustrate": "trip.md", "images": "auto"})
    )
    first, second = read_jobs(tmp_path / "r.jsonl")
    assert first.request == ComposeRequest(
        instruction="calm pictures",
        text="# Trip\r\n\r\nBy boat.\r\n",
        text_name="trip",
        use_images=(boat,),
        may_use=(boat,),
        tone="vivid",
        images=4,
        language="en",
        seed=9,
        words=300,
        filters=Filters(("CC BY",), ("sea",), 200),
    )
    assert second.request is not None
    assert (second.request.images, second.folder) == (None, "002-trip")


def test_sources_are_documents_and_folders_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "r.jsonl").write_text(
        json.dumps({"instruction": "x", "sources": ["notes"]})
        + "\n"
        + json.dumps({"instruction": "x", "sources": ["no"]})
    )
    first, second = read_jobs(tmp_path / "r.jsonl")
    assert first.request == ComposeRequest("x", sources=(tmp_path / "notes",))
    assert second.error is not None
    assert second.error.values["reason"].key == "source_missing"


def test_line_separators_inside_a_text_do_not_split_a_line(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"instruction": "a\u2028b\u0085c"}', encoding="utf-8")
    (job,) = read_jobs(tmp_path / "r.jsonl")
    assert job.request is not None
    assert job.request.instruction == "a\u2028b\u0085c"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"instruction": 3}, "instruction is 3; it must be text"),
        ({"instruction": "x", "fast": 1}, "fast is 1; it must be true or false"),
        ({"instruction": "x", "seed": True}, "seed is true; it must be a whole number"),
        ({"instruction": "x", "images": "many"}, "many is no number of pictures; say auto or 0 to 50."),
        ({"instruction": "x", "use_images": "a.jpg"}, 'use_images is "a.jpg"; it must be a list of texts'),
        ({"instruction": "x", "use_images": ["none.jpg"]}, "{dir}/none.jpg does not exist"),
        ({"illustrate": "none.md"}, "{dir}/none.md cannot be read: No such file or directory"),
        (
            {"instruction": "x", "filters": {"licence": []}},
            "filters.licence is not known; known are: filters.licenses, filters.tags, filters.min_side_px,"
            " filters.where – did you mean filters.licenses?",
        ),
        ({"instruction": "x", "language": "xx"}, "the language xx is not known; use one of: auto, en, zh"),
        ({"instruction": "x", "images": 99}, "99 is no number of pictures; say auto or 0 to 50."),
        (
            {"instruction": "x", "use_images": ["a.jpg", "a.jpg"], "images": 1},
            "2 pictures must appear, but only 1 are asked for; ask for more",
        ),
        ({"instruction": "x", "may_use": ["none.jpg"]}, "{dir}/none.jpg does not exist"),
        (
            {"instruction": "x", "tone": "rude"},
            "the tone rude is not known; use one of: plain, vivid, formal, friendly",
        ),
        ({"instruction": "x", "length": "huge"}, "the length huge is not known; use one of: short, medium, long"),
        ({"instruction": "x", "length": "long", "words": 900}, "words and length are both given; keep one"),
        ({"text": "x", "illustrate": "a.md"}, "illustrate and text are both given; keep one"),
        ({"instruction": "x", "library": ""}, "library is empty; name the library's folder, or leave the field out"),
        (
            {"instruction": "x", "settings": {"language": {}}},
            "settings.language is not known; known are: settings.writing, settings.pictures",
        ),
        (
            {"instruction": "x", "settings": {"writing": {"temperature": 3.0}}},
            "writing.temperature is 3.0; it must be between 0.0 and 2.0",
        ),
        (
            {"instruction": "x", "name": "../x"},
            "name is ../x; it must be lower-case letters and digits joined by hyphens, e.g. x",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line(line: dict[str, object], message: str, tmp_path: Path) -> None:
    picture(tmp_path, "a.jpg")
    (tmp_path / "r.jsonl").write_text(json.dumps({"instruction": "fine"}) + "\n" + json.dumps(line))
    jobs = read_jobs(tmp_path / "r.jsonl")
    assert jobs[0].request is not None
    assert jobs[1].request is None
    assert words(jobs[1]) == "line 2: " + message.replace("{dir}", str(tmp_path))


CSV = """\
name,instruction,images,seed,words,use_images,filters.licenses,settings.writing.temperature
,A day on the farm,3,7,,,,
pets,"Cats, dogs
and ""others"" again",auto,,400,a.jpg | b.jpg,CC BY|CC0,0.5

"""


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"tone": "vivd"}, "tone vivd"),
        ({"kind": "pome"}, "kind pome"),
        ({"language": "xx"}, "language xx"),
        ({"words": 9}, "words 9"),
        ({"images": "many"}, "images many"),
        ({"images": 1, "use_images": ["a.jpg", "b.jpg"]}, "use_images names 2 pictures"),
        ({"instruction": " "}, "instruction"),
        ({"instruction": "", "illustrate": "empty.md"}, "illustrate: "),
        ({"instruction": "", "illustrate": "."}, "illustrate: "),
        ({"sources": ["nowhere"]}, "sources: "),
        ({"sources": ["a.jpg"], "kind": "story"}, "sources"),
        ({"sources": ["a.jpg"], "text": "Words."}, "illustrate"),
    ],
)
def test_what_a_line_asks_is_refused_by_the_name_of_its_field(
    line: dict[str, object], field: str, tmp_path: Path
) -> None:
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path, name)
    (tmp_path / "empty.md").write_text("\n")
    (tmp_path / "r.jsonl").write_text(json.dumps({"instruction": "a farm"} | line))
    (job,) = read_jobs(tmp_path / "r.jsonl")
    said = localize(job.error, "en", batch=True)
    assert field in said
    assert "--" not in said
    assert field.split()[0].rstrip(":") in localize(job.error, "zh", batch=True)


def test_a_spreadsheet_says_the_same_as_json_lines(tmp_path: Path) -> None:
    a, b = picture(tmp_path, "a.jpg").path, picture(tmp_path, "b.jpg", "red").path
    first, second = read_jobs(write(tmp_path / "r.csv", CSV))
    assert (first.line, first.folder) == (2, "002-a-day-on-the-farm")
    assert first.request == ComposeRequest("A day on the farm", images=3, seed=7)
    assert (second.line, second.folder) == (3, "pets")
    assert second.request == ComposeRequest(
        'Cats, dogs\nand "others" again', use_images=(a, b), words=400, filters=Filters(("CC BY", "CC0"))
    )
    profile = Settings("embedded", pictures=IllustrationSettings(candidates=4))
    assert second.settings(profile).writing == WritingSettings(temperature=0.5)
    assert second.settings(profile).pictures.candidates == 4, "what a line does not name stays as the profile has it"
    assert first.settings(profile) is profile


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("instruction,seed\r\nA day,5\r\n", "utf-8-sig"),
        ("instruction;seed\r\nA day;5\r\n", "utf-8-sig"),
        ("sep=;\r\ninstruction;seed\r\nA day;5\r\n", "utf-8"),
        ("instruction\tseed\r\nA day\t5\r\n", "utf-16"),
        ('"instruction","seed",\n"A day","5",\n,,\n', "utf-8"),
    ],
)
def test_what_excel_writes_is_read(text: str, encoding: str, tmp_path: Path) -> None:
    (job,) = read_jobs(write(tmp_path / "r.csv", text, encoding))
    assert job.request == ComposeRequest("A day", seed=5)


def test_yes_and_no_are_read_as_spreadsheets_write_them(tmp_path: Path) -> None:
    jobs = read_jobs(write(tmp_path / "r.csv", "instruction,fast\nA,TRUE\nB,false\nC,\nD,maybe\n"))
    assert [job.request and job.request.fast for job in jobs] == [True, False, False, None]
    assert words(jobs[3]) == 'line 5: fast is "maybe"; it must be true or false'


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path: Path) -> None:
    text = "instruction;settings.pictures.min_fused\nA day;0,25\n"
    (job,) = read_jobs(write(tmp_path / "r.csv", text))
    assert job.overrides == {"pictures": {"min_fused": 0.25}}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,many,", "line 3: many is no number of pictures; say auto or 0 to 50."),
        ("x,,1.5", "line 3: seed is 1.5; it must be a whole number"),
        ("a, b,1,2,3", "line 3: it has 5 cells but the header 3 columns; quote a cell that holds ','"),
        (",1,", "line 3: Say what the article should be about."),
        ("x,60,", "line 3: 60 is no number of pictures; say auto or 0 to 50."),
        ('"x,1,', "line 3: it is not CSV: unexpected end of data; the rest of the file is not read"),
        ('"x"y,1,', "line 3: it is not CSV: ',' expected after '\"'; the rest of the file is not read"),
    ],
)
def test_a_wrong_cell_is_named_with_line_and_column(row: str, message: str, tmp_path: Path) -> None:
    jobs = read_jobs(write(tmp_path / "r.csv", f"instruction,images,seed\nfine,,\n{row}"))
    assert jobs[0].request is not None
    assert jobs[1].request is None
    assert words(jobs[1]).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("instruction,wrods\nx,3", "line 1: unknown column 'wrods'; the first line names the columns, known are: "),
        ("A day on the farm\nA night", "line 1: unknown column 'A day on the farm'"),
        ("seed,instruction,seed\n1,x,2", "line 1: column seed stands there twice"),
        ("instruction,seed\n", "holds no request"),
        ("", "holds no request"),
    ],
)
def test_a_wrong_header_is_wrong_usage(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        read_jobs(write(tmp_path / "r.csv", text))
    assert message in localize(refused.value, "en")


def test_a_file_of_another_encoding_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^table_not_utf8: "):
        read_jobs(write(tmp_path / "r.csv", "instruction\nÉté", "latin-1"))


def test_two_lines_cannot_share_a_folder(tmp_path: Path) -> None:
    lines = [{"name": "pets", "instruction": "a"}, {"name": "pets", "instruction": "b"}]
    jobs = read_jobs(write(tmp_path / "r.jsonl", "\n".join(map(json.dumps, lines))))
    assert [job.folder for job in jobs] == ["pets", "002-article"]
    assert [words(job) for job in jobs] == ["", "line 2: its name is that of line 1"]


def test_a_line_with_a_name_keeps_its_folder_where_lines_are_added(tmp_path: Path) -> None:
    line = json.dumps({"name": "farm", "instruction": "A day on the farm"})
    (alone,) = read_jobs(write(tmp_path / "r.jsonl", line))
    _, moved = read_jobs(write(tmp_path / "r.jsonl", '{"instruction": "new"}\n' + line))
    assert alone.folder == moved.folder == "farm"


def test_a_setting_that_no_profile_has_is_refused(tmp_path: Path) -> None:
    (job,) = read_jobs(write(tmp_path / "r.jsonl", '{"instruction": "x", "settings": {"writing": {"temprature": 1}}}'))
    assert words(job).startswith("line 1: settings.writing.temprature is not known; known are: settings.writing.t")
    (job,) = read_jobs(write(tmp_path / "r.jsonl", '{"instruction": "x", "settings": {"writing": 3}}'))
    assert words(job) == "line 1: settings.writing is 3; it must be an object"


def test_nesting_without_end_is_a_wrong_line_not_a_crash(tmp_path: Path) -> None:
    deep = '{"instruction": ' + "[" * 200_000
    _, job = read_jobs(write(tmp_path / "r.jsonl", '{"instruction": "A"}\n' + deep))
    assert words(job).startswith("line 2: it is not JSON: it is nested too deeply")
    with pytest.raises(UsageError, match=r"^array_not_json: .*nested_too_deeply"):
        read_jobs(write(tmp_path / "r.jsonl", "[" * 200_000))


# --- as other programs write requests


def test_an_empty_cell_of_a_data_frame_is_absent_and_its_numbers_may_be_floats(tmp_path: Path) -> None:
    lines = [
        {"instruction": "Boats", "images": 2.0, "seed": 11.0, "tone": None, "filters": {"tags": None}},
        {"instruction": "Bread", "images": None, "seed": None, "tone": "plain", "settings": None},
    ]
    boats, bread = read_jobs(write(tmp_path / "r.jsonl", "\n".join(map(json.dumps, lines))))
    assert boats.request == ComposeRequest("Boats", images=2, seed=11)
    assert bread.request == ComposeRequest("Bread", tone="plain")
    nan, birds = read_jobs(
        write(tmp_path / "r.jsonl", '{"instruction": "Bread", "seed": NaN}\r{"instruction": "Birds"}\r')
    )
    assert (nan.request, birds.line) == (ComposeRequest("Bread"), 2)
    (job,) = read_jobs(write(tmp_path / "r.csv", "instruction,images,seed\nBoats,2.0,11.0\n"))
    assert job.request == boats.request


@pytest.mark.parametrize("indent", [None, 0, 4])
def test_an_array_of_objects_is_read_and_its_elements_are_numbered(indent: int | None, tmp_path: Path) -> None:
    text = json.dumps([{"instruction": "Boats"}, {"instruction": "Bread"}, 7], indent=indent)
    jobs = read_jobs(write(tmp_path / "r.json", text if indent is not None else text.replace("}, ", "},\n")))
    assert [job.folder for job in jobs] == ["001-boats", "002-bread", "003-article"]
    assert words(jobs[2]) == "line 3: it is not a JSON object; write one with keys such as instruction"


def test_a_file_without_a_line_of_json_is_one_message_and_no_request(tmp_path: Path) -> None:
    (tmp_path / "essay.md").write_text("# Walls\n\nA wall stands by its weight.\n")
    with pytest.raises(UsageError, match=r"^requests_not_read"):
        read_jobs(tmp_path / "essay.md")
    (tmp_path / "half.jsonl").write_text('{"instruction": "a"}\nno json\n')
    assert [job.error is None for job in read_jobs(tmp_path / "half.jsonl")] == [True, False]


def test_an_array_that_is_not_json_is_one_message_and_nothing_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^array_not_json: "):
        read_jobs(write(tmp_path / "r.json", '[\n {"instruction": "Boats"},\n {"instruction": "Bread"},\n]'))


def test_objects_over_several_lines_are_read_beside_those_on_one(tmp_path: Path) -> None:
    objects = [{"instruction": "Boats", "filters": {"tags": ["sea"]}}, {"instruction": "Bread"}]
    text = "\n\n".join(json.dumps(one, indent=2) for one in objects)
    first, second, third, last = read_jobs(write(tmp_path / "r.jsonl", text + '\n{"instruction": "Birds"}\n{oops\n'))
    assert [job.line for job in (first, second, third, last)] == [1, 10, 13, 14]
    assert [job.request and job.request.instruction for job in (first, second, third)] == ["Boats", "Bread", "Birds"]
    assert words(last).startswith("line 14: it is not JSON")


def test_an_object_that_never_ends_costs_its_own_lines_only(tmp_path: Path) -> None:
    jobs = read_jobs(write(tmp_path / "r.jsonl", '{"instruction": "Boats"}\n{"instruction":\n{"instruction": "Bread"}'))
    assert [job.request is not None for job in jobs] == [True, False, True]


def test_columns_are_known_in_any_case_and_row_numbers_are_passed_over(tmp_path: Path) -> None:
    wanted = [ComposeRequest("Boats", images=1, seed=3), ComposeRequest("Bread", images=0)]
    for text in (
        "Instruction,IMAGES,Seed\nBoats,1,3\nBread,0,\n",
        ",instruction,images,seed\n0,Boats,1,3\n1,Bread,0,\n",
        "Unnamed: 0,instruction,images,seed\n0,Boats,1,3\n1,Bread,0,\n",
    ):
        jobs = read_jobs(write(tmp_path / "r.csv", text))
        assert [job.request for job in jobs] == wanted, text
    (job,) = read_jobs(write(tmp_path / "r.csv", ",instruction\nmine,Boats\n"))
    assert job.error is not None
    assert job.error.values["reason"].key == "column_unnamed"
    with pytest.raises(UsageError, match=r"^column_unknown: "):
        read_jobs(write(tmp_path / "r.csv", "instruction,,seed\nBoats,1,3\n"))


@pytest.mark.parametrize("text", ["a \ud800 b", "\udcff", "NUL \0 here"])
@pytest.mark.parametrize("key", ["instruction", "library", "name"])
def test_a_character_that_cannot_be_written_fails_its_own_line(text: str, key: str, tmp_path: Path) -> None:
    line = json.dumps({"instruction": "Boats", key: text})
    first, second = read_jobs(write(tmp_path / "r.jsonl", line + '\n{"instruction": "Bread"}'))
    assert first.error is not None
    assert first.error.values["reason"].key == "characters_unusable"
    assert second.request is not None


def test_the_documented_requests_are_read_as_they_stand(tmp_path: Path) -> None:
    docs = (Path(__file__).resolve().parents[3] / "docs/batch.md").read_text(encoding="utf-8")
    (tmp_path / "trip.md").write_text("# Trip\n\nBy boat.")
    for name in ("boat.jpg", "harbour.jpg"):
        picture(tmp_path, name)
    lines = re.findall(r"```json\n(.*?)```", docs, re.DOTALL)[0]
    table = re.findall(r"```csv\n(.*?)```", docs, re.DOTALL)[0]
    for text, name, count in ((lines, "r.jsonl", 4), (table, "r.csv", 2)):
        jobs = read_jobs(write(tmp_path / name, text))
        assert [words(job) for job in jobs] == [""] * count
    documented = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", docs, re.MULTILINE))))
    assert documented >= set(KEYS)


def test_the_documented_summary_has_the_keys_that_are_written(tmp_path: Path) -> None:
    docs = (Path(__file__).resolve().parents[3] / "docs/batch.md").read_text(encoding="utf-8")
    shown = json.loads(re.findall(r"```json\n(.*?)```", docs, re.DOTALL)[1])
    summary = BatchSummary([BatchJob(1, "001-x", None)], BatchConfig(tmp_path, tmp_path, Settings("embedded")))
    assert list(shown) == list(summary.as_json())
    assert list(shown["items"][0]) == list(summary.as_json()["items"][0])
