"""What an error or a notice says on the page, in the language of its reader.

A message is found by its ``key`` and filled with its ``values``; an error without a key, one of a model's or a
library's for the most part, by its class. English is what was raised, but for what names flags of the command line,
which a page has none of. Knows no page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from composer.errors import ComposerError

if TYPE_CHECKING:
    from composer.pipeline.events import Notice

# Key: English where the page says it otherwise than the terminal, and Chinese.
WORDS: Mapping[str, tuple[str, str]] = {
    # The text
    "title_empty": ("", "标题是空的，请为文章取个名字。"),
    "section_empty": ("", "段落不能为空；请写点什么，或删除这一段。"),
    "only_section": ("this is the only paragraph; edit its text instead", "这是唯一的一段，不能删除；请直接修改文字。"),
    "cannot_move": ("it is at the end of the article already", "已经在文章的尽头，不能再移了。"),
    "cannot_split": (
        "this paragraph has no place to split it at; edit it instead",
        "这一段没有可以拆分的地方；请直接修改文字。",
    ),
    "nothing_to_merge": (
        "this is the last paragraph; there is none to merge it with",
        "这是最后一段，后面没有可合并的。",
    ),
    "section_locked": ("this paragraph is locked; unlock it first", "这一段已锁定，请先解锁。"),
    "all_settled": (
        "every paragraph is locked or edited; unlock one, or ask for a rewritten one",
        "所有段落都已锁定或修改过；请解锁一段，或请求改写。",
    ),
    "text_long": (
        "the text has {chars} characters; at most {most} are taken",
        "文字有 {chars} 个字符，最多 {most} 个。",
    ),
    "gone": (
        "that paragraph or picture is not there any more; the page shows how it is now",
        "这一段或这张图片已经不在了；页面显示的是现在的样子。",
    ),
    "changed_elsewhere": ("", "它刚在另一个窗口里被修改过；页面显示的是现在的样子，请再试一次。"),
    "kept_below": ("", "这一段刚在另一个窗口里被修改过；你输入的文字放在它的下面。"),
    "nothing_to_undo": ("", "没有可撤销的了。"),
    "nothing_to_redo": ("", "没有可重做的了。"),
    "no_article": ("", "还没有文章。"),
    "being_made": ("", "文章还在制作中；请先停止，或等它完成。"),
    # Proposals
    "already_translated": ("this paragraph is in that language already", "这一段已经是这种语言了。"),
    "no_prose": (
        "this paragraph holds no running text; edit its list, table or code by hand",
        "这一段没有成句的文字；列表、表格或代码请手动修改。",
    ),
    "unfit": ("", "模型没有给出合用的文字；请再试一次，或手动修改。"),
    "proposal_old": ("", "提出建议之后这一段又改过；请重新请求。"),
    "proposal_gone": ("", "这一段已经没有待定的建议了。"),
    "proposal_unfinished": ("", "建议还没有写完。"),
    # Pictures
    "picture_locked": ("", "这张图片已锁定，请先解锁。"),
    "locked_elsewhere": ("", "这张图片在另一处被锁定；请先在那里解锁。"),
    "not_found": ("that picture is not among those found; search again", "这张图片不在找到的图片中，请重新搜索。"),
    "no_picture": ("", "此处没有图片，请先选一张。"),
    "picture_gone": ("", "文章里已经没有这张图片了。"),
    "no_other_caption": ("", "模型想不出别的图说；请自己写一个。"),
    "search_empty": ("", "请用几个词说明图片上应有什么。"),
    "not_a_number": ("that is not a number", "请填一个数字。"),
    "count_wrong": ("a number of pictures is 0 to {most}", "图片数量应为 0 至 {most}。"),
    "too_many_fixed": (
        "",
        "有 {fixed} 张图片已锁定或修改过，所以不能只留 {count} 张；请解锁一些，或至少要 {fixed} 张。",
    ),
    "fewer_fit": ("", "现有 {standing} 张图片，而不是 {asked} 张：图库里没有适合其余位置的图片。"),
    # Uploads
    "upload_large": ("", "{name} 超过 {limit_mb} MB，请先缩小。"),
    "upload_unknown": ("", "这个文件没有上传到这里，请重新选择。"),
    "no_picture_file": ("", "{name} 不是能读取的图片。"),
    "picture_unusable": ("{name} cannot be used: {reason}", "{name} 无法使用：{reason}"),
    "picture_not_kept": ("", "图片 {name} 无法保存；请腾出一些磁盘空间。"),
    "more_than_pictures": (
        "{used} pictures must appear, but only {images} are asked for; ask for more",
        "有 {used} 张图片必须出现，但只要求了 {images} 张；请调大图片数量。",
    ),
    # The form
    "empty_instruction": ("Say what the article should be about.", "请先写明文章的主题。"),
    "empty_text": ("Paste the text that pictures should be added to.", "请先粘贴需要配图的文字。"),
    "text_too_long": (
        "The text is longer than {limit} characters; illustrate it in parts.",
        "文字超过 {limit} 个字符，请分段配图。",
    ),
    "text_file_wrong": ("That file is not a text of at most 400,000 characters.", "该文件不是 40 万字符以内的文本。"),
    "pictures_wrong": (
        "{given} is no number of pictures; say auto or 0 to {most}.",
        "“{given}”不是图片数量；请填 auto 或 0 至 {most}。",
    ),
    "no_library_chosen": (
        "Choose a library first, or index one in the tab Library.",
        "请先选择图库，或在“图库”页中索引一个。",
    ),
    # The whole article
    "library_empty": (
        "this library holds no pictures; choose another, index a folder on the Library tab, or ask for 0 pictures",
        "这个图库里没有图片；请换一个图库，在“图库”页中索引文件夹，或把图片数量设为 0。",
    ),
    "library_unknown": ("", "这里没有这个图库；请先索引一个文件夹。"),
    "no_paragraph": ("the text has no paragraph that a picture could follow", "这段文字里没有可以放图片的段落。"),
    "few_places": (
        "{used} pictures must appear, but the text has only {places} places for one",
        "有 {used} 张图片必须出现，但文字里只有 {places} 个位置。",
    ),
    "nothing_written": (
        "the model wrote nothing usable; try another seed, or say more exactly what the article is about",
        "模型没有写出合用的内容；请换一个随机种子，或把主题说得更具体。",
    ),
    "read_beginnings": (
        "",
        "文字超过模型能读的 {tokens} 个词元：选位置和选图时只读了每段的开头；文章的文字一字不少。",
    ),
    "inside": ("", "内部出了问题；详情见服务器的日志。"),
    "malformed": ("the page asked for something that is not possible; load it again", "页面的请求无效，请重新载入。"),
    # Drafts and libraries
    "draft_gone": ("", "这篇草稿已经不在了：它被删除了，或很久没有保存。"),
    "draft_unreadable": ("", "这篇草稿无法读取；请从备份恢复，或删除它。"),
    "draft_busy": ("", "草稿正被另一个进程保存；请稍后再试。"),
    "draft_not_saved": ("", "草稿无法保存；请腾出一些磁盘空间，或把 VIGNETTE_HOME 设到别的磁盘。"),
    "field_wrong": ("a field takes at most {most} characters", "每一栏最多 {most} 个字符。"),
    "folder_relative": ("", "“{given}”不是文件夹的完整路径；应像 /home/me/Pictures 这样。"),
    "folder_missing": ("", "本机上没有文件夹 {folder}；请检查路径。"),
    "name_wrong": ("", "图库名称请用文字或数字。"),
    "indexing_already": ("", "已经在索引一个文件夹；请等它完成。"),
    # Questions and exports
    "question_empty": ("", "请写下问题。"),
    "pdf_characters": ("", "PDF 无法印出 {characters}；请从文字中去掉。"),
    "pdf_refused": ("", "无法排出这篇文章的 PDF；请报告这个问题。"),
    "pdf_fonts": ("", "本机没有能显示 {characters} 的字体；请在终端运行：vignette models pull chinese scripts"),
}

# Errors of other packages and of the disk, by the name of their class; what was raised follows.
CLASSES_ZH: Mapping[str, str] = {
    "ImageError": "图片无法使用：{message}",
    "PromptTooLong": "文字太长，模型读不完：{message}",
    "WeightsError": "模型文件缺失或损坏：{message}",
    "ModelError": "模型无法完成：{message}",
    "DataError": "数据无法使用：{message}",
    "VisionError": "模型出错：{message}",
    "LibraryMissing": "找不到图库：{message}",
    "EncoderMismatch": "图库是用另一种编码器建立的，请重新索引：{message}",
    "LibraryDamaged": "图库已损坏：{message}",
    "SampleUnavailable": "示例图库暂时无法取得：{message}",
    "LibraryError": "图库出错：{message}",
    "RetrievalError": "搜索出错：{message}",
    "ExportError": "无法导出：{message}",
    "OutputExists": "无法写入：{message}",
    "UsageError": "无法照办：{message}",
    "EditError": "无法这样修改：{message}",
    "DraftError": "草稿出错：{message}",
    "WritingFailed": "模型没有写成：{message}",
    "ComposerError": "出错了：{message}",
}


def told(happened: Exception | Notice, language: str) -> str:
    """What happened, in a language of the page."""
    message = str(happened)
    if not isinstance(happened, Exception) or isinstance(happened, ComposerError):
        english, chinese = WORDS.get(happened.key, ("", ""))
        wording = chinese if language == "zh" else english
        if wording:
            return wording.format(**happened.values)
    if language != "zh":
        return message
    for kind in type(happened).__mro__:
        if kind.__name__ in CLASSES_ZH:
            return CLASSES_ZH[kind.__name__].format(message=message)
    return message
