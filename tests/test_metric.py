import pytest

from crossnorm.errors import BadInput
from crossnorm.metric import Metric
from crossnorm.stats import estimate
from tests.stats.stats_tables import convex_table


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("test_loss", Metric("test_loss", direction="lower")),
        ("test_accuracy", Metric("test_accuracy", direction="higher")),
        ("test_loss_auc", Metric("test_loss", "auc", direction="lower")),
        ("test_accuracy_auc", Metric("test_accuracy", "auc", direction="higher")),
        ("test_accuracy_steps_to_0.8", Metric("test_accuracy", "steps_to", 0.8, "lower")),
        ("test_loss_steps_to_2", Metric("test_loss", "steps_to", 2.0, "lower")),
        ("perplexity", Metric("perplexity")),
        ("auc", Metric("auc")),
        ("test_loss_steps_to_1.2.3", Metric("test_loss_steps_to_1.2.3")),
    ],
)
def test_a_metric_is_its_text(text, metric):
    assert Metric.parse(text) == metric
    assert str(metric) == text


def test_a_target_has_one_spelling():
    assert str(Metric.parse("test_loss_steps_to_0.50")) == "test_loss_steps_to_0.5"


def test_an_estimate_needs_to_know_which_side_is_better():
    with pytest.raises(BadInput, match="direction: expected lower or higher, got none"):
        estimate(convex_table(), study="s", metric=Metric("test_loss"))
