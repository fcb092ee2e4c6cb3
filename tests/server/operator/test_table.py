"""Tables in plain text."""

from __future__ import annotations

from server.operator.table import table


def test_chinese_characters_count_as_two_columns() -> None:
    assert table(("name", "number"), [("鞋子", "1"), ("shoes", "2")]).splitlines() == [
        "NAME   NUMBER",
        "鞋子   1",
        "shoes  2",
    ]
