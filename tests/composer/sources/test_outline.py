"""Which passages an article on a subject is written from."""

from __future__ import annotations

from pathlib import Path

from composer.sources.collection import read_sources
from composer.sources.outline import passages_for
from tests.fakes import ColourEncoder

TITLED = "# Sleep and dreams\n\n" + "\n\n".join(
    f"## Part {n}\n\nThe brain slows down while the body rests for {n} hours of the night." for n in range(4)
)
OTHER = "# Markets\n\nSellers of fish call out their prices.\n\n## Sleep\n\nSleep and dreams cost nothing, they say.\n"


def chosen_files(folder: Path, instruction: str) -> list[str]:
    (folder / "one.md").write_text(TITLED)
    (folder / "two.md").write_text(OTHER)
    encoder = ColourEncoder()
    sources = read_sources([folder / "one.md", folder / "two.md"], folder / "cache", encoder, "en")
    positions, _ = passages_for(instruction, sources, encoder, 600)
    file = {source.id: source.file for source in sources.sources}
    return sorted(file[sources.passages[i].source] for i in positions)


def test_all_of_a_source_that_has_the_subject_for_its_title_belongs_to_it(tmp_path: Path) -> None:
    assert chosen_files(tmp_path, "Sleep and dreams").count("one.md") == 4


def test_of_other_sources_only_what_says_something_of_the_subject(tmp_path: Path) -> None:
    assert chosen_files(tmp_path, "Sleep and dreams").count("two.md") == 1
