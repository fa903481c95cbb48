yaml
  | provider: acme
  | models:
  |   - model: a/x
  |     cards: [{input_per_1m: "10"}]
  |   - model: b/x
  |     cards: [{input_per_1m: "10"}]
yaml
  | provider: acme
  | overrides:
  |   - {kind: contract, input_per_1m: "9"}
  |   - {kind: contract, model: a/*, input_per_1m: "8"}
  |   - {kind: contract, model: a/x, input_per_1m: "7"}
event   e1 b/x input 1_000_000   -> posted 9
event   e2 a/x input 1_000_000   -> posted 7
