"""How well a model predicts and how it sounds; which checkpoint of a training is the best."""
