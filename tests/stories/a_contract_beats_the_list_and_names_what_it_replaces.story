yaml
  | provider: acme
  | models:
  |   - model: haiku
  |     cards: [{input_per_1m: "2", output_per_1m: "8"}]
yaml
  | provider: acme
  | overrides:
  |   - kind: contract
  |     model: haiku
  |     from: 2026-02-01
  |     pricing: {inputCostPer1K: "0.001"}
event   e1 2026-01-31T00:00:00Z haiku input 1_000_000 output 1_000_000   -> posted 10
event   e2 2026-02-03T00:00:00Z haiku input 1_000_000 output 1_000_000   -> posted 9
  -> line input 1000000 x 1/M
  -> line output 1000000 x 8/M
  -> because layer override
