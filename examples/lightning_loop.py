"""Lightning's Trainer as a study. In this folder: crossnorm plot lightning_loop.yaml --import lightning_loop"""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from crossnorm import create_model, integrations


class Classifier(LightningModule):
    def train_dataloader(self):  # called before every epoch: the same batches in all arms, and after a resume
        batches = self.run.task.train_batches(self.current_epoch, seed=self.run.seed, batch_size=50)
        return DataLoader(list(batches), batch_size=None)

    def training_step(self, batch):
        return torch.nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch):
        self.log("val_loss", self.training_step(batch), batch_size=len(batch[1]))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.003)


def train(run):
    module, callback = Classifier(), integrations.LightningCallback(run)
    module.run, module.model = run, create_model(**run.task.model, variant=run.variant)
    options = {"default_root_dir": run.directory, "accelerator": run.device.type, "max_epochs": 2, "logger": False}
    trainer = Trainer(**options, reload_dataloaders_every_n_epochs=1, callbacks=[callback])
    trainer.fit(module, val_dataloaders=DataLoader(list(run.task.test_batches()), None), ckpt_path=callback.resume())
