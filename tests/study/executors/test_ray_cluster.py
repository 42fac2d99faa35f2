"""The Ray executor: the same curves as the local one, also when a node dies."""

from __future__ import annotations

import pytest
import torch

import crossnorm as library
from crossnorm.errors import BadInput
from tests.study.fault_cases import curves, verdict

pytestmark = pytest.mark.slow
FIELDS = {"metric": "loss", "direction": "lower", "alphas": [0, 1], "control": False, "seeds": 2}


def train(run):
    import time

    state = run.resume()
    value = torch.rand(()) if state is None else state["value"]
    for step in range(0 if state is None else state["step"], 12):
        value = 0.5 * value + torch.rand(()) + run.dose
        run.log(step, loss=value)
        run.save({"value": value, "step": step + 1})
        time.sleep(run.settings.get("pause", 0))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    library.Study(train, **FIELDS).run(folder / "out", progress=False)
    return verdict(folder), curves(folder)


@pytest.mark.filterwarnings("ignore")
def test_on_this_machine(tmp_path, expected):
    pytest.importorskip("ray")
    library.Study(train, **FIELDS).run(tmp_path / "out", ray="local", workers=2, progress=False)
    assert (verdict(tmp_path), curves(tmp_path)) == expected


@pytest.mark.filterwarnings("ignore")
def test_a_node_that_dies_in_the_middle(tmp_path, expected, capfd, monkeypatch):
    utils = pytest.importorskip("ray.cluster_utils")
    import threading

    from tests.study.fault_cases import progress, wait_until

    # Ray takes "127.0.0.1" in an address for this machine's outer one, which need not be reachable.
    monkeypatch.setattr("ray._private.services.get_node_ip_address", lambda *_: "127.0.0.1")
    cluster = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "node_ip_address": "127.0.0.1"})
    try:
        nodes = [cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1") for _ in range(2)]

        def dies():
            wait_until(lambda: progress(tmp_path) > 200, 120)
            cluster.remove_node(nodes[1], allow_graceful=False)

        killer = threading.Thread(target=dies)
        killer.start()
        study = library.Study(train, **FIELDS, settings={"pause": 0.5})
        study.run(tmp_path / "out", ray=cluster.address, workers=2, progress=False)
        killer.join()
    finally:
        cluster.shutdown()
    assert "retrying" in capfd.readouterr().err
    assert (verdict(tmp_path), curves(tmp_path)) == expected


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_does_not_answer_is_named(tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(BadInput, match="ray: expected"):
        library.Study(train, **FIELDS).run(tmp_path / "out", ray="127.0.0.1:1", progress=False)
