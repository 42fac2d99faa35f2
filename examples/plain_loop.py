"""A training loop of your own as a study. In this folder:

    crossnorm plot plain_loop:train --alphas 0,0.5,1 --seeds 3 --metric loss --direction lower

The function is called once for every arm and seed, each time with the same draws of python, numpy and torch for a seed.
Interrupted, the same command goes on from what `run.save` has stored.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import crossnorm

EPOCHS = 4


class Classifier(nn.Module):
    """One attention layer over the eight rows of a digit."""

    def __init__(self, variant):
        super().__init__()
        self.variant = variant
        self.embed, self.qkv, self.head = nn.Linear(8, 16), nn.Linear(16, 48), nn.Linear(16, 10)

    def forward(self, images):  # (batch, 8, 8)
        tokens = self.embed(images)
        q, k, v = self.qkv(tokens).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)  # each (batch, heads, tokens, 8)
        mixed = crossnorm.attention(q, k, v, variant=self.variant)
        return self.head((tokens + mixed.transpose(1, 2).flatten(2)).mean(1))


def digits():
    data = load_digits()
    images, labels = torch.tensor(data.images, dtype=torch.float32) / 16, torch.tensor(data.target)
    return images[:1000], labels[:1000], images[1000:], labels[1000:]


def train(run):
    """What crossnorm calls: build, go on from where it stood, train, log, save."""
    inputs, labels, test_inputs, test_labels = digits()
    model = Classifier(run.variant)
    optimizer = torch.optim.AdamW(model.parameters(), lr=run.settings.get("lr", 0.01))
    state = run.resume()  # after everything is built: from here on the draws are those of before
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    for epoch in range(0 if state is None else state["epoch"], EPOCHS):
        for batch in torch.randperm(len(inputs)).split(50):
            optimizer.zero_grad()
            functional.cross_entropy(model(inputs[batch]), labels[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            logits = model(test_inputs)
        accuracy = (logits.argmax(-1) == test_labels).float().mean()
        run.log(epoch + 1, loss=functional.cross_entropy(logits, test_labels), accuracy=accuracy)
        run.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1})
        if run.stop:  # diverged: nothing that follows counts
            return
