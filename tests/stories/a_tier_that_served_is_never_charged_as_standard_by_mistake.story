yaml
  | provider: acme
  | models:
  |   - model: haiku
  |     cards:
  |       - input_per_1m: "2"
  |       - service_tier: flex
  |         input_per_1m: "1"
event   e1 haiku input 1_000_000                 -> posted 2
event   e2 tier:default haiku input 1_000_000    -> posted 2
event   e3 tier:flex haiku input 1_000_000       -> posted 1
event   e4 tier:priority haiku input 1_000_000   -> held: no_rate_card: in service tier priority
