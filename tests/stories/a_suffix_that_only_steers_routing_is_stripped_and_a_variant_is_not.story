yaml
  | provider: openrouter
  | models:
  |   - model: x/y
  |     cards: [{input_per_1m: "3"}]
  |   - model: "x/y:free"
  |     cards: [{input_per_1m: "0", free: true}]
event   e1 x/y:nitro input 1_000_000          -> posted 3
event   e2 x/y:free input 1_000_000           -> posted 0
event   e3 variant:free x/y input 1_000_000   -> posted 0
event   e4 variant:standard x/y input 1_000_000  -> posted 3
event   e5 x/y:batch input 1_000_000          -> held: no_rate_card
event   e6 openrouter/x/y input 1_000_000     -> posted 3
