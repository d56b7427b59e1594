"""On the page every number of a note opens the passage that its sentence is written from."""

from __future__ import annotations

import re
from dataclasses import replace

from composer.article.citation import Citation
from composer.article.model import Section
from composer.web.html.article_view import article_blocks
from tests.composer.cited_samples import DIGS, HUNTS, PERCH, cited_article
from tests.composer.web.test_page import context


def test_every_number_opens_a_passage_of_its_own() -> None:
    blocks = list(article_blocks(cited_article(), context()))
    html = "".join(block.html for block in blocks)
    targets = re.findall(r'popovertarget="([^"]+)"', html)
    assert len(targets) == len(set(targets)) == 4
    assert sorted(targets) == sorted(re.findall(r'popover id="([^"]+)"', html))
    passages = dict(re.findall(r'popover id="([^"]+)".*?<blockquote>(.*?)</blockquote>', html))
    assert [passages[target] for target in targets] == [
        "The bee-eater hunts from a bare branch.",
        "Pairs dig burrows a metre deep.",
        "The bee-eater hunts from a bare branch.",
        "We counted forty nests in May.",
    ]
    assert "Birds of the &lt;River&gt;" in html
    assert [block.kind for block in blocks] == ["title", "section", "section", "section", "notes"]


def test_a_number_goes_with_its_sentence_and_brackets_typed_by_hand_are_words() -> None:
    article = cited_article()
    text = f"Mine[^1] and [^2]. {HUNTS}"
    changed = replace(article, sections=(Section(text, citations=(Citation(HUNTS, (PERCH,), 0.9),)), Section(DIGS)))
    html = "".join(block.html for block in article_blocks(changed, context()))
    assert html.count("popovertarget") == 1
    assert "Mine[^1] and [^2]." in html


def test_what_a_passage_says_is_text() -> None:
    hostile = replace(PERCH, text='<script>alert(1)</script>"')
    article = replace(cited_article(), sections=(Section(HUNTS, citations=(Citation(HUNTS, (hostile,), 0.9),)),))
    html = "".join(block.html for block in article_blocks(article, context()))
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
