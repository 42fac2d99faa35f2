"""What a study trains: models on a task, a pretrained model, or a user's function; one run or cohort at a time.

The training loop itself is in ``training.loop``.
"""
