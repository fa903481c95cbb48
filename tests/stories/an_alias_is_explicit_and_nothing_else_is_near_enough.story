yaml
  | provider: acme
  | models:
  |   - model: claude-4.5
  |     aliases: [claude-4.5-20250929]
  |     cards:
  |       - input_per_1m: "3"
event   e1 claude-4.5-20250929 input 1_000_000   -> posted 3
  -> because is an alias of claude-4.5
event   e2 claude-4-5 input 1_000_000            -> held: no_rate_card: acme/claude-4-5
event   e3 acme/claude-4.5 input 1_000_000       -> posted 3
