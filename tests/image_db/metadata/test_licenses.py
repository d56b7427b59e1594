"""Licences: one spelling for name, SPDX identifier and address, and filters that let nothing through by accident."""

from __future__ import annotations

import pytest

from image_db.metadata.licenses import allows, license_name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("CC-BY-SA-4.0", "CC BY-SA 4.0"),
        ("cc by 2.0", "CC BY 2.0"),
        ("CC_BY_NC", "CC BY-NC"),
        ("BY-NC-ND 4.0", "CC BY-NC-ND 4.0"),
        ("CC BY–NC–ND 4.0", "CC BY-NC-ND 4.0"),
        ("http://creativecommons.org/licenses/by-nc-nd/4.0/deed.de", "CC BY-NC-ND 4.0"),
        ("See https://creativecommons.org/licenses/by/3.0/", "CC BY 3.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0 1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "Public Domain Mark 1.0"),
        ("CC0-1.0", "CC0 1.0"),
        ("Creative Commons Zero v1.0 Universal", "CC0 1.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "CC BY-SA 4.0"),
        ("Creative Commons Attribution Non Commercial No Derivatives 4.0 International", "CC BY-NC-ND 4.0"),
        ("Attribution-NonCommercial-NoDerivs 2.0 Generic", "CC BY-NC-ND 2.0"),
        ("Creative Commons Namensnennung - Weitergabe unter gleichen Bedingungen 4.0", "CC BY-SA 4.0"),
        ("Creative Commons Paternité - Pas d’utilisation commerciale 3.0", "CC BY-NC 3.0"),
        ("知识共享 署名-相同方式共享 4.0 国际", "CC BY-SA 4.0"),
        ("public-domain", "Public domain"),
        # What says more, or something else, stays as it is.
        ("© Ann Lee, CC BY 4.0", "© Ann Lee, CC BY 4.0"),
        ("CC BY-SA 3.0 or GFDL 1.2", "CC BY-SA 3.0 or GFDL 1.2"),
        ("Attribution required", "Attribution required"),
        ("GPL-2+", "GPL-2+"),
        ("All rights reserved", "All rights reserved"),
        ("", ""),
    ],
)
def test_a_licence_has_one_spelling(given: str, name: str) -> None:
    assert license_name(given) == name
    assert license_name(name) == name


@pytest.mark.parametrize(
    ("wanted", "through", "kept_out"),
    [
        (
            "CC BY",
            ["CC BY 4.0", "CC-BY-3.0", "cc by", "https://creativecommons.org/licenses/by/2.0/", "© Ann, CC BY 4.0",
             "Creative Commons Attribution 4.0 International", "CC BY-NC 4.0 or CC BY 4.0", "CC-BY-4.0 AND MIT"],
            ["CC BY-NC-ND 4.0", "CC BY-NC 4.0", "CC BY-ND 4.0", "CC BY-SA 4.0", "CC0 1.0", "", "CC BYTES",
             "Creative Commons Attribution-NonCommercial 4.0 International", "CC BY 4.0 and CC BY-NC 4.0",
             "CC BY 4.0, non-commercial use only", "https://creativecommons.org/licenses/by-nc/4.0/",
             "All rights reserved", "CC BY 4.0 except for the logo", "CC BY 3.0, sauf mention contraire",
             "CC BY 4.0（徽标除外）"],
        ),
        ("CC BY 4.0", ["CC BY 4.0", "CC-BY-4.0"], ["CC BY 3.0", "CC BY", "CC BY-SA 4.0"]),
        ("cc-by-nc-nd", ["CC BY-NC-ND 4.0", "Attribution-NonCommercial-NoDerivs 2.0 Generic"], ["CC BY 4.0"]),
        ("CC", ["CC BY 4.0", "CC BY-SA 3.0", "CC0 1.0"], ["CC BY-NC 4.0", "CC BY-ND 4.0", "Public domain", "GPL-2"]),
        ("CC0", ["CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"], ["CC BY 4.0", "Public domain"]),
        ("GPL", ["GPL-2+", "gpl 3"], ["LGPL-2.1", "GPLX"]),
        ("All rights", ["All rights reserved"], ["© Ann. All rights reserved"]),
    ],
)  # fmt: skip
def test_a_filter_lets_through_what_it_names(wanted: str, through: list[str], kept_out: list[str]) -> None:
    assert [text for text in through if not allows(wanted, text)] == []
    assert [text for text in kept_out if allows(wanted, text)] == []
