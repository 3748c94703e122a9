"""Pictures that a script cuts, joins and fills between the requests of its flow. No model is needed."""
