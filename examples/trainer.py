"""Hugging Face's Trainer as a study. In this folder: crossnorm plot trainer.yaml --import trainer"""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import crossnorm
from crossnorm.integrations import TrainerCallback

CONFIG = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)


def sentences(count, seed):
    """Random words; the class says whether the first one comes again."""
    words = torch.randint(1, 20, (count, 12), generator=torch.Generator().manual_seed(seed))
    labels = (words[:, 1:] == words[:, :1]).any(1).long()
    return [{"input_ids": row, "labels": label} for row, label in zip(words, labels, strict=True)]


def train(run):
    model = BertForSequenceClassification(CONFIG)  # the same weights in all arms: torch is seeded with run.seed
    crossnorm.convert(model, run.variant)
    callback = TrainerCallback(run)
    often = {"eval_strategy": "epoch", "save_strategy": "epoch", "save_total_limit": 2}
    sizes = {"num_train_epochs": 2, "per_device_train_batch_size": 25, "learning_rate": run.settings["lr"]}
    quiet = {"report_to": [], "disable_tqdm": True, "use_cpu": run.device.type == "cpu"}
    arguments = TrainingArguments(str(run.directory), seed=run.seed, **often, **sizes, **quiet)
    data = {"train_dataset": sentences(500, seed=1), "eval_dataset": sentences(200, seed=2)}
    trainer = Trainer(model, arguments, callbacks=[callback], **data)
    trainer.train(resume_from_checkpoint=callback.resume())
