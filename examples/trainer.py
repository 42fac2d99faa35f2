"""The Trainer of Hugging Face transformers as a study, with arms that are settings of your own. In this folder:

    crossnorm plot trainer.yaml --import trainer

Its checkpoints stay its own; `run.save` keeps only which one is the newest.
"""

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

LENGTH, WORDS = 12, 20


def sentences(count, seed):
    """Random words; the class says whether the first one comes again."""
    words = torch.randint(1, WORDS, (count, LENGTH), generator=torch.Generator().manual_seed(seed))
    labels = (words[:, 1:] == words[:, :1]).any(1).long()
    return [{"input_ids": row, "labels": label} for row, label in zip(words, labels, strict=True)]


class Logging(TrainerCallback):
    """What the trainer measures goes to crossnorm; so does the name of its newest checkpoint."""

    def __init__(self, run):
        self.run = run

    def on_evaluate(self, args, state, control, metrics, **_):
        self.run.log(state.global_step, loss=metrics["eval_loss"])
        control.should_training_stop = control.should_training_stop or self.run.stop

    def on_save(self, args, state, control, **_):
        self.run.save({"checkpoint": f"checkpoint-{state.global_step}"})


def train(run):
    """What crossnorm calls."""
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=run.settings["dropout"],
    )
    arguments = TrainingArguments(
        output_dir=str(run.directory),
        num_train_epochs=2,
        per_device_train_batch_size=25,
        learning_rate=run.settings["learning_rate"],
        seed=run.seed,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=run.device.type == "cpu",
    )
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=arguments,
        train_dataset=sentences(500, seed=1),
        eval_dataset=sentences(200, seed=2),
        callbacks=[Logging(run)],
    )
    state = run.resume()
    trainer.train(resume_from_checkpoint=None if state is None else str(run.directory / state["checkpoint"]))
