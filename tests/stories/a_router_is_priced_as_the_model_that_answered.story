yaml
  | provider: openrouter
  | models:
  |   - model: openrouter/auto
  |     cards:
  |       - priced_as: the_model_that_answered
event   e1 openrouter/auto input 5              -> held: priced_as_answered: send the model that answered
