"""The words that edits leave behind: reasons in the article's language, names of steps in the page's.

Every language has every word; a test sees to it. Knows no edits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why a place is as it is, where a person saw to it."""

    chosen: str
    removed: str
    moved: str
    added: str
    brought: str


_REASONS = {
    "en": Reasons(
        chosen="you chose it",
        removed="you removed it",
        moved="you moved its picture to another place",
        added="you added this place",
        brought="your own picture",
    ),
    "zh": Reasons(
        chosen="由你选定",
        removed="已由你移除",
        moved="图片已由你移到别处",
        added="此处由你添加",
        brought="你自己的图片",
    ),
}

_STEPS: Mapping[str, tuple[str, str]] = {
    "edit_text": ("text edit", "修改文字"),
    "set_title": ("title", "修改标题"),
    "add_section": ("new paragraph", "添加段落"),
    "delete_section": ("deleted paragraph", "删除段落"),
    "move_section": ("moved paragraph", "移动段落"),
    "split_section": ("split paragraph", "拆分段落"),
    "merge_sections": ("merged paragraphs", "合并段落"),
    "lock_section": ("paragraph lock", "锁定段落"),
    "replace_picture": ("another picture", "更换图片"),
    "show_picture": ("chosen picture", "选用图片"),
    "remove_picture": ("removed picture", "移除图片"),
    "delete_picture": ("deleted picture", "删除图片"),
    "move_picture": ("moved picture", "移动图片"),
    "insert_picture": ("new picture", "插入图片"),
    "add_place": ("new place for a picture", "添加图片位置"),
    "set_caption": ("caption", "修改图说"),
    "set_alt": ("alt text", "修改替代文字"),
    "lock_placement": ("picture lock", "锁定图片"),
    "rewrite": ("rewriting", "改写"),
    "expand": ("expansion", "扩写"),
    "shorten": ("shortening", "缩写"),
    "translate": ("translation", "翻译"),
    "suggest": ("suggested caption", "建议的图说"),
    "refit": ("another number of pictures", "调整图片数量"),
    "retry": ("stage run again", "重做一步"),
    "compose": ("new article", "新文章"),
}
ACTIONS = tuple(_STEPS)
_COLUMN = {"en": 0, "zh": 1}


def reasons(language: str) -> Reasons:
    """The words of a language; English for one there are none of."""
    return _REASONS.get(language, _REASONS["en"])


def step_label(action: str, language: str) -> str:
    """What a step did, as it follows "Undo:"."""
    return _STEPS[action][_COLUMN.get(language, 0)]
