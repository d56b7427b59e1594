"""An article with citations, in several sources with and without pages."""

from __future__ import annotations

from composer.article.citation import Citation, Passage, Source
from composer.article.model import Article, Section

BIRDS = Source("b" * 64, "birds.pdf", "Birds of the <River> & *Bank*", "A. Author")
NOTES = Source("n" * 64, "notes.md", "notes")
PERCH = Passage(BIRDS.id, "12", "The bee-eater hunts from a bare branch.")
BURROW = Passage(BIRDS.id, "iv", "Pairs dig burrows a metre deep.")
DIARY = Passage(NOTES.id, "", "We counted forty nests in May.", "Field notes")
HUNTS, DIGS, COUNTED = (
    "A bee-eater waits on a branch.",
    "The pair digs a deep tunnel.",
    "Forty nests were counted in May.",
)


def cited_article(language: str = "en") -> Article:
    return Article(
        "Bee-eaters",
        language,
        (
            Section(f"Nobody says where this is from. {HUNTS}", citations=(Citation(HUNTS, (PERCH,), 0.9),)),
            Section(
                f"## Nests\n\n{DIGS} {COUNTED}",
                citations=(Citation(DIGS, (BURROW, PERCH), 0.8), Citation(COUNTED, (DIARY,), 0.95)),
            ),
            Section("The last word is nobody's.", gap="\n"),
        ),
        sources=(BIRDS, NOTES),
    )
