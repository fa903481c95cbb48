yaml
  | provider: openrouter
  | models:
  |   - model: x/y
  |     cards:
  |       - input_per_1m: "2"
  |       - endpoint: Azure
  |         input_per_1m: "2.2"
event   e1 served_by:Azure x/y input 1_000_000    -> posted 2.2
  -> because layer endpoint
event   e2 served_by:Novita x/y input 1_000_000   -> posted 2
  -> because layer list
