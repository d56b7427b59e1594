"""Articles that have everything a document can hold, and how the tests have them exported."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from composer.article.model import Article, Section
from composer.export.export import export
from composer.export.picture_export import Pictures, in_library
from tests.composer.article_samples import farm_article, picture, placed
from tests.composer.export_reading import (
    ReadDocx,
    ReadEpub,
    ReadPdf,
)

MADE = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
DOCUMENTS = ("docx", "pdf", "epub")
READERS: dict[str, Any] = {"docx": ReadDocx, "pdf": ReadPdf, "epub": ReadEpub}


def made(article: Article, format_: str) -> bytes:
    return export(article, format_, Pictures(article, in_library), made=MADE).files[f"article.{format_}"]


def chinese_article(folder: Path) -> Article:
    dog = picture(
        folder,
        "dog.jpg",
        "steelblue",
        (1200, 800),
        caption="一只狗",
        alt="一只黑色的狗坐在草地上",
        author="王小明",
        license="CC BY 4.0",
        source_url="https://example.org/狗",
    )
    return Article(
        "如何养好一只宠物",
        "zh",
        (
            Section("养好一只宠物是一项既挑战又幸福的任务，需要**耐心**和*时间*。"),
            Section("## 选择合适的宠物\n\n首先要考虑你的生活方式：例如，“仓鼠”或兔子。"),
            Section("- 食物\n- 水碗\n- 玩具（small toys）"),
            Section("### 定期检查\n\n每年至少一次……"),
        ),
        (placed(dog, 1, "德国牧羊犬是忠诚的伙伴。", "zh"),),
    )


RICH = """\
## Lists

1. first
2. second
   - inner *one*
   - inner two

   more of the second

7. not seven

| Month | Eggs |
|:------|-----:|
| May   | **300** |
| June  | ~~280~~ |

> A quote
> - with a list

---

#### Deep

```py
def f():  # <b>
    return "x  y"
```

A [link](https://example.org/a?b=1&c=2), `code`, a hard\\
break, <https://auto.example> and ![a picture](https://example.org/x.png)."""


def rich_article(folder: Path) -> Article:
    farm = farm_article(folder)
    return replace(farm, sections=(*farm.sections, Section(RICH)))
