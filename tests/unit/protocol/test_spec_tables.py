import pytest

from tests.support.tables import SPEC, TABLES, render


@pytest.mark.parametrize("page", sorted(TABLES))
def test_tables_in_the_spec_are_what_the_code_says(page):
    assert render(page) == (SPEC / page).read_text(encoding="utf-8"), "run python -m tests.support.tables"
