"""Languages are told apart by their script, and lengths compare across them."""

import pytest

from composer.article.language import (
    count_words,
    detect_language,
    is_foreign,
    resolve_language,
    text_language,
    writing_language,
)
from composer.article.markdown import parse_markdown


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A day on the farm", "en"),
        ("如何养好一只宠物", "zh"),
        ("介绍 Python 编程语言的历史", "zh"),
        ("The word 猫 means cat in Chinese, as every learner knows", "en"),
        ("1984", "en"),
        ("朝の市場では魚を並べる。", "en"),
    ],
)
def test_the_script_that_carries_the_text_decides(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_an_explicit_language_is_obeyed() -> None:
    assert resolve_language("zh", "A day on the farm") == "zh"


def test_words_count_alike_in_both_languages() -> None:
    assert count_words("It's a well-kept farm, with 3 hens.") == 6
    assert count_words("猫" * 16) == 10


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("On market days the square smells of bread, and the bell rings before anyone is awake.", "en"),
        ("An Markttagen riecht der Platz nach Brot, und die Glocke läutet, bevor jemand wach ist.", "de"),
        ("Les jours de marché, la place sent le pain et la cloche sonne avant le réveil.", "fr"),
        ("Los días de mercado la plaza huele a pan y la campana suena antes de que nadie despierte.", "es"),
        ("В базарные дни площадь пахнет хлебом, и колокол звонит раньше всех.", "ru"),
        ("На базарі пахне хлібом, і дзвін б'є ще до світанку, коли всі сплять.", "uk"),
        ("Pazar günleri meydan ekmek kokar ve çan herkes uyanmadan çalar.", "tr"),
        ("في أيام السوق تفوح من الساحة رائحة الخبز ويدق الجرس قبل أن يستيقظ أحد.", "ar"),
        ("בימי שוק הכיכר מריחה מלחם, והפעמון מצלצל לפני שמישהו מתעורר.", "he"),
        ("市の日には広場にパンの匂いが漂い、誰も起きないうちに鐘が鳴る。", "ja"),
        ("장날이면 광장에 빵 냄새가 나고, 아무도 깨기 전에 종이 울린다.", "ko"),
        ("赶集的日子，广场上飘着面包香，谁都还没醒，钟就响了。", "zh"),
        ("他在东京的居酒屋「さくら」吃了一碗拉面，又去看了一场电影，然后坐末班车回家。", "zh"),
        ("...---... 12 34", "und"),
        ("", "und"),
    ],
)
def test_a_persons_text_keeps_its_own_language(text: str, language: str) -> None:
    assert text_language(text) == language


def test_what_too_few_words_tell_is_english_where_it_may_be_and_else_undetermined() -> None:
    assert text_language("Trip\n\nBy boat.") == "en"
    assert text_language("xq zw vv") == "und"


@pytest.mark.parametrize(
    ("tag", "written", "foreign"),
    [("zh-Hant", "zh", False), ("en-GB", "en", False), ("de", "en", True), ("ja", "en", True), ("und", "en", False)],
)
def test_captions_are_written_in_the_articles_language_or_in_english(tag: str, written: str, foreign: bool) -> None:
    assert (writing_language(tag), is_foreign(tag)) == (written, foreign)


@pytest.mark.parametrize(
    ("line", "language"),
    [("lang: nl", "nl"), ('language: "pt-BR"', "pt-BR"), ("lang: Dutch language", ""), ("langs: nl", "")],
)
def test_front_matter_may_name_the_language(line: str, language: str) -> None:
    assert parse_markdown(f"---\ntitle: T\n{line}\n---\n\nWords.\n").language == language
