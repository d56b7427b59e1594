"""Languages are told apart by their script, and lengths compare across them."""

import pytest

from composer.article.language import count_words, detect_language, resolve_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A day on the farm", "en"),
        ("如何养好一只宠物", "zh"),
        ("介绍 Python 编程语言的历史", "zh"),
        ("The word 猫 means cat in Chinese, as every learner knows", "en"),
        ("1984", "en"),
    ],
)
def test_the_script_that_carries_the_text_decides(text: str, language: str) -> None:
    assert detect_language(text) == language


def test_an_explicit_language_is_obeyed() -> None:
    assert resolve_language("zh", "A day on the farm") == "zh"


def test_words_count_alike_in_both_languages() -> None:
    assert count_words("It's a well-kept farm, with 3 hens.") == 6
    assert count_words("猫" * 16) == 10
