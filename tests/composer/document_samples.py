"""Articles that have everything a document can hold, and how the tests have them exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from composer.article.model import Article, Section
from composer.export.export import export
from composer.export.picture_export import Pictures, in_library
from tests.composer.article_samples import COLOURS, farm_article, picture, placed
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


MONUMENTS = {
    "Castles": (
        "Castles were built as seats of power and as places of defence. Their walls are thick, their towers look far "
        "over the land, and their gates could be closed within a minute. Many stand on a hill or by a river, where an "
        "enemy had to come up slowly and in the open. What was left of them after the wars became a quarry for the "
        "villages below, and many a farm still has a lintel with somebody's arms."
    ),
    "Cathedrals": (
        "A cathedral took longer to build than anybody lived. Masons cut the stones in the winter and set them in the "
        "summer, and each generation went on where the last had stopped. High windows let coloured light fall on the "
        "floor, and buttresses outside carry what the thin walls cannot. The bells told the town when to rise, to eat "
        "and to pray, and the clock came only later."
    ),
    "Bridges": (
        "Bridges of stone have joined the two halves of many towns for six hundred years. The arches carry the road, "
        "and the piers are pointed where the water meets them, so that ice and driftwood pass by. Houses and shops "
        "once stood on them, and a chapel for travellers. Tolls paid for the repairs that every flood made necessary, "
        "and the keeper of the gate was a person to be on good terms with."
    ),
    "Lighthouses": (
        "Lighthouses warn ships of rocks and lead them into harbour. At first a fire of wood burnt on the top of a "
        "tower, later lamps with oil, and for two hundred years lenses of many rings have gathered the light to a "
        "beam that can be seen for twenty miles. Keepers climbed the stairs every evening to trim the wick, and wrote "
        "down every ship that passed. Today a switch does it."
    ),
    "Windmills": (
        "Windmills stand where the wind blows steadily: on coasts, on dikes and on bare hills. Their sails turn a "
        "shaft, and the shaft turns a stone that grinds the corn, or a wheel that lifts the water out of the fields. "
        "The miller turned the cap into the wind by hand until a small wheel behind it did the work for him. Few of "
        "them still grind; most of them only stand there and are looked at."
    ),
}
MIXED = ((1200, 800), (900, 1200), (1200, 800), (800, 1200), (1200, 900))


def monuments_article(folder: Path, sizes: Sequence[tuple[int, int]] = MIXED) -> Article:
    """A heading, some seventy words and a picture with its words, five times over: 430 words."""
    sections = [
        Section(
            "Monuments tell of those who built them: of what they feared, what they believed and how they lived. Five "
            "kinds of them are found in almost every country of Europe, and each has a reason to stand where it stands."
        )
    ]
    placements = []
    for number, (name, text) in enumerate(MONUMENTS.items()):
        sections.append(Section(f"## {name}\n\n{text}"))
        shown = picture(
            folder,
            f"{name}.jpg",
            COLOURS[number],
            sizes[number % len(sizes)],
            caption=name,
            author="A. Author",
            license="CC BY-SA 3.0",
        )
        placements.append(placed(shown, number + 1, f"Picture of {name}: drawn, painted and photographed many times."))
    return Article("Monuments of Europe", "en", tuple(sections), tuple(placements))
