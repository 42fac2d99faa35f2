"""What a study trains: models on a task, a pretrained model, or a user's function; and one run or cohort of it.

The training loop itself is in ``training.loop``.
"""
