"""Chinese addresses as one text, cut to province and city, or to county.

Only what can be told apart is kept: a province that exists, a city by its suffix, a county by its.
Street, house, building and everything else goes.
"""

from __future__ import annotations

import re
from typing import Final, Literal

Level = Literal["city", "county"]

# fmt: off
_MUNICIPALITIES: Final = ("北京", "天津", "上海", "重庆")
_PROVINCES: Final = (
    *_MUNICIPALITIES, "河北", "山西", "内蒙古", "辽宁", "吉林", "黑龙江", "江苏", "浙江", "安徽",
    "福建", "江西", "山东", "河南", "湖北", "湖南", "广东", "广西", "海南", "四川", "贵州", "云南",
    "西藏", "陕西", "甘肃", "青海", "宁夏", "新疆", "台湾", "香港", "澳门",
)
# fmt: on
_NAME: Final = r"路?(?:(?![街巷号路区县旗盟])[\u4e00-\u9fff]){1,8}?"
"""Of a city or county: what follows a street's name is none of theirs (路南区 is a county)."""
_PROVINCE: Final = re.compile(
    rf"(?:{'|'.join(_PROVINCES)})(?:省|市|壮族自治区|回族自治区|维吾尔自治区|自治区|特别行政区)?"
)
_CITY: Final = re.compile(rf"{_NAME}(?:自治州|地区|市|盟)")
_COUNTY: Final = re.compile(rf"{_NAME}(?:自治县|自治旗|区|县|市|旗)")


def generalised(address: str, level: Level) -> str | None:
    """Province and city of an address, and its county if asked for; None if it names no province.

    Without its province nothing tells where a name of a city begins, so nothing is kept.
    """
    text = "".join(address.split()).removeprefix("中国").removeprefix("中华人民共和国")
    province = _PROVINCE.match(text)
    if province is None:
        return None
    kept, rest = province[0], text[province.end() :]
    if not kept.startswith(_MUNICIPALITIES):
        city = _CITY.match(rest)
        if city is None:
            return kept
        kept, rest = kept + city[0], rest[city.end() :]
    county = _COUNTY.match(rest) if level == "county" else None
    return kept if county is None else kept + county[0]
