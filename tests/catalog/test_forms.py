"""What stands in forms is kept for whoever it belongs to, and for no longer than it is of use."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from webui.catalog.database import Database
from webui.catalog.forms import LONGEST, MOST_PAGES, Forms


@pytest.fixture
def forms(tmp_path: Path) -> Forms:
    return Forms(Database(tmp_path / "database"))


def test_a_page_gets_its_own_form_and_a_new_one_the_newest(forms: Forms) -> None:
    forms.keep("ann", "1", "txt2img", "a")
    forms.keep("ann", "2", "txt2img", "b")
    forms.keep("ann", "2", "img2img", "c")
    assert forms.last("ann", "1", "txt2img") == "a"
    assert forms.last("ann", "3", "txt2img") == "b"
    forms.keep("ann", "1", "txt2img", "d")
    assert forms.last("ann", "3", "txt2img") == "d"


def test_nobody_gets_anothers(forms: Forms) -> None:
    forms.keep("ann", "1", "txt2img", "a")
    assert forms.last("bob", "1", "txt2img") == ""


def test_a_form_that_is_too_long_leaves_the_one_before(forms: Forms) -> None:
    forms.keep("ann", "1", "txt2img", "a")
    forms.keep("ann", "1", "txt2img", "b" * (LONGEST + 1))
    assert forms.last("ann", "1", "txt2img") == "a"


def test_old_pages_and_old_forms_go(forms: Forms) -> None:
    forms.keep("bob", "0", "txt2img", "his")
    for number in range(MOST_PAGES + 3):
        forms.keep("ann", str(number), "txt2img", str(number))
    assert forms.last("ann", "0", "txt2img") == str(MOST_PAGES + 2), "That of the first page is gone."
    assert forms.last("ann", "3", "txt2img") == "3"
    assert forms.last("bob", "0", "txt2img") == "his"
    assert forms.sweep(time.time() + 1) == MOST_PAGES + 1
