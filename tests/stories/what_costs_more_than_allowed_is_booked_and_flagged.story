yaml
  | provider: openrouter
  | models:
  |   - model: a/x
  |     cards: [{input_per_1m: "3", output_per_1m: "15"}]
  | ceilings:
  |   - {model: a/*, output_per_1m: "15", amount_per_request: "5"}
  |   - team: search
  |     max_price: {notation: openrouter, prompt: "2", completion: "20"}
event   e1 a/x input 1_000_000 output 100_000                -> posted 4.5
  -> above nothing
event   e2 a/x input 2_000_000                               -> posted 6
  -> above openrouter/a/* ceiling for the org: the amount is above 5 USD per request
event   e3 team:search a/x input 1_000                       -> posted 0.003
  -> above openrouter/* ceiling for team search: input at 3 USD per million is above 2
