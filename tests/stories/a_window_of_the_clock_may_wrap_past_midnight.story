yaml
  | provider: acme
  | models:
  |   - model: haiku
  |     cards:
  |       - input_per_1m: "4"
  |         when:
  |           - utc: "16:30-00:30"
  |             input_per_1m: "1"
  |           - utc: "16:30-00:30"
  |             days: [saturday, sunday]
  |             input_per_1m: "0.5"
event   e1 2026-02-03T16:29:59Z haiku input 1_000_000   -> posted 4
event   e2 2026-02-03T16:30:00Z haiku input 1_000_000   -> posted 1
event   e3 2026-02-04T00:29:59Z haiku input 1_000_000   -> posted 1
event   e4 2026-02-04T00:30:00Z haiku input 1_000_000   -> posted 4
event   e5 2026-02-07T17:00:00Z haiku input 1_000_000   -> posted 0.5
