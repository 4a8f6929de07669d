"""What is learned and from what: tasks, models, local training, evaluation, shards and attacks."""
