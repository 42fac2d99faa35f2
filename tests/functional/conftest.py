"""Run the tests of values, gradients, leaks and padding once for every form of the attention weights."""

from __future__ import annotations

import pytest

from crossnorm.functional import blocks, masks, normalizers, weights

EVERY_FORM = ("values", "causal", "padding", "gradients", "baseline")
FORMS = ("explicit", "fused", "fused-blocks", "explicit-unread", "fused-unread")


def pytest_generate_tests(metafunc):
    """`explicit` and `fused` are the two forms; `blocks`: in as many as possible; `unread`: as in compiled code."""
    if metafunc.module.__name__.rpartition("test_attention_")[2] in EVERY_FORM:
        forms = [pytest.param(form, marks=[pytest.mark.slow] if form != "explicit" else []) for form in FORMS]
        metafunc.parametrize("weights_form", forms, indirect=True, scope="function")


@pytest.fixture(autouse=True)
def weights_form(request, monkeypatch):
    """The form of the weights; tests outside `EVERY_FORM` follow the rule."""
    wanted = getattr(request, "param", "explicit")
    if "unread" in wanted:
        spread = request.node.callspec.params.get("spread", 1.0)
        if spread >= 80:  # standard deviations; see test_values_as_wide_as_unread_levels
            pytest.skip("values beyond the fixed levels")
        for module in (masks, normalizers):
            monkeypatch.setattr(module, "may_read", lambda tensor: False)
    if hasattr(request, "param"):
        for kind in weights._EXPLICIT_UP_TO:
            if "fused" in wanted or "half" not in kind:  # half precision is explicit as far as the rule goes
                monkeypatch.setitem(weights._EXPLICIT_UP_TO, kind, 0 if "fused" in wanted else 1 << 40)
    if "blocks" in wanted:
        monkeypatch.setattr(blocks, "_BLOCK", 1)
    return wanted
