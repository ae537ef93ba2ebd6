"""The people behind a code as HQ writes them."""

from __future__ import annotations

import pytest

from guides.contact_ways import BadWay, staffing
from tests.guides.contact_ways.conftest import Company

TEXT = "G00001 周一、周二、周三、周四、周五 09:00-18:00 节假日休\nG00002 备用\nG00003 周六、周日 22:00-02:00"


def test_what_is_written_is_what_is_read(company: Company) -> None:
    people = staffing.parse(TEXT.replace("周一、周二、周三、周四、周五", "周一至周五"))
    assert [one.guide.code for one in people] == ["G00001", "G00002", "G00003"]
    way = company.store_way(*people)
    assert staffing.written(way.staff.select_related("guide").order_by("pk")) == TEXT


def test_the_end_of_a_day_is_midnight(company: Company) -> None:
    (one,) = staffing.parse("g00001 18：00-24：00")
    assert one.starts_at is not None and one.ends_at is not None
    assert (one.starts_at.hour, one.ends_at.hour) == (18, 0)


@pytest.mark.parametrize(("text", "said"), [("G404", "G404"), ("G00001 25:00-26:00", "25:00"), ("G00001 偶尔", "偶尔")])
def test_what_nobody_understands_is_named(company: Company, text: str, said: str) -> None:
    with pytest.raises(BadWay, match=said):
        staffing.parse(text)
