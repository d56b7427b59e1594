"""The words of the page, in English and Chinese. Every key exists in every language; a test sees to it."""

from __future__ import annotations

from collections.abc import Mapping

UI_LANGUAGES = ("en", "zh")

_ENGLISH = {
    "tagline": "Articles illustrated from your own pictures, on this machine",
    "mode_write": "Write",
    "mode_illustrate": "Illustrate my text",
    "instruction": "What should the article be about?",
    "instruction_example": "A day on the farm",
    "text": "Your text",
    "text_example": "Paste Markdown or plain text. It stays as it is; pictures are added between its paragraphs.",
    "hint": "What should the pictures be like? (optional)",
    "write": "Write",
    "illustrate": "Illustrate",
    "stop": "Stop",
    "library": "Library",
    "length": "Length",
    "short": "Short",
    "medium": "Medium",
    "long": "Long",
    "pictures": "Pictures",
    "auto": "Auto",
    "language": "Language",
    "more": "More",
    "seed": "Seed",
    "seed_info": "Another number, another article",
    "must_use": "Pictures that must appear",
    "stage_load": "Loading",
    "stage_write": "Writing",
    "stage_place": "Placing",
    "stage_caption": "Describing",
    "stage_find": "Finding",
    "stage_choose": "Choosing",
    "stage_finish": "Finishing",
    "waiting": "Waiting for the model: another article is being made",
    "stopping": "Stopping…",
    "stopped": "Stopped. What was there stays.",
    "stopped_early": "Stopped before anything was written.",
    "seconds": "{seconds} s",
    "download": "Download .zip",
    "alternatives": "Alternatives",
    "why": "Why this one: {reason}",
    "empty_slot": "No picture here",
    "remove": "Remove picture",
    "use_this": "Use this picture instead: {caption}",
    "shown_now": "Shown now: {caption}",
    "score": "fit {score}",
    "chosen_by_you": "you chose it",
    "removed_by_you": "you removed it",
    "moved_by_you": "you moved its picture to another place",
    "no_library": "No picture library yet",
    "teach_sample": "Try the sample: about 700 photographs with captions and licences.",
    "teach_own": "Or index a folder of your own; nothing leaves this machine.",
    "teach_again": "Then start the page again.",
    "empty_instruction": "Say what the article should be about.",
    "empty_text": "Paste the text that pictures should be added to.",
}

_CHINESE = {
    "tagline": "用你自己的图片为文章配图，全程在本机完成",
    "mode_write": "写文章",
    "mode_illustrate": "为我的文字配图",
    "instruction": "想写一篇关于什么的文章？",
    "instruction_example": "如何养好一只宠物",
    "text": "你的文字",
    "text_example": "粘贴 Markdown 或纯文本。文字保持原样，图片加在段落之间。",
    "hint": "希望配什么样的图片？（可不填）",
    "write": "开始写",
    "illustrate": "配图",
    "stop": "停止",
    "library": "图库",
    "length": "篇幅",
    "short": "短",
    "medium": "中",
    "long": "长",
    "pictures": "图片数量",
    "auto": "自动",
    "language": "语言",
    "more": "更多",
    "seed": "随机种子",
    "seed_info": "换一个数字，得到另一篇文章",
    "must_use": "必须使用的图片",
    "stage_load": "载入",
    "stage_write": "写作",
    "stage_place": "选位置",
    "stage_caption": "写图说",
    "stage_find": "找图",
    "stage_choose": "选图",
    "stage_finish": "收尾",
    "waiting": "正在等待模型：另一篇文章还在生成",
    "stopping": "正在停止……",
    "stopped": "已停止，已有的内容保留。",
    "stopped_early": "已停止，还没有写出内容。",
    "seconds": "{seconds} 秒",
    "download": "下载 .zip",
    "alternatives": "备选图片",
    "why": "选用理由：{reason}",
    "empty_slot": "此处没有图片",
    "remove": "移除图片",
    "use_this": "改用这张图片：{caption}",
    "shown_now": "当前图片：{caption}",
    "score": "匹配度 {score}",
    "chosen_by_you": "由你选定",
    "removed_by_you": "已由你移除",
    "moved_by_you": "图片已由你移到别处",
    "no_library": "还没有图库",
    "teach_sample": "试试示例图库：约 700 张带说明和许可的照片。",
    "teach_own": "或者索引你自己的图片文件夹；一切都留在本机。",
    "teach_again": "然后重新打开本页面。",
    "empty_instruction": "请先写明文章的主题。",
    "empty_text": "请先粘贴需要配图的文字。",
}

_TABLES: Mapping[str, Mapping[str, str]] = {"en": _ENGLISH, "zh": _CHINESE}


def strings(language: str) -> Mapping[str, str]:
    """The table of a language; English for one there is no table of."""
    return _TABLES.get(language, _ENGLISH)


def preferred(accept_language: str) -> str:
    """The first language of a browser's ``Accept-Language`` that the page speaks, English where it names none."""
    for part in accept_language.split(","):
        code = part.split(";")[0].strip().lower().split("-")[0]
        if code in UI_LANGUAGES:
            return code
    return UI_LANGUAGES[0]
