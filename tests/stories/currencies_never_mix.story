yaml
  | provider: acme
  | currency: EUR
  | models:
  |   - model: haiku
  |     cards: [{input_per_1m: "1"}]
yaml
  | provider: acme
  | overrides:
  |   - {kind: contract, model: opus, currency: USD, input_per_1m: "1"}
  |   - {kind: contract, model: haiku, from: 2026-03-01, currency: USD, input_per_1m: "1"}
event   e1 haiku input 1_000_000                         -> posted 1
event   e2 opus input 1_000_000                          -> posted 1
event   e3 2026-03-03T00:00:00Z haiku input 1_000_000    -> held: two_currencies: in USD and in EUR
spend by model                                           -> haiku 1, opus 1
