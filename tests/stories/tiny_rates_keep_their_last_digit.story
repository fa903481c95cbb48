yaml
  | provider: acme
  | models:
  |   - model: tiny
  |     cards: [{input_per_token: "0.0000000208333333333333", output_per_token: "0.00000010000000000000001"}]
event   e1 tiny input 3 output 7   -> posted 0.00000076249999999999997
event   e2 tiny input 48_000_000   -> posted 0.9999999999999984
