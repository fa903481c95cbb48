yaml
  | provider: acme
  | models:
  |   - model: haiku
  |     cards: [{input_per_1m: "2"}]
yaml
  | provider: acme
  | overrides:
  |   - {kind: chargeback, team: search, input_per_1m: "3"}
  |   - {kind: chargeback, team: labs, input_per_1m: "1.5"}
event   e1 team:search haiku input 1_000_000   -> posted 3
  -> posts cost:search/- <- payable:acme  2
  -> and   cost:search/- <- margin:acme   1
event   e2 team:labs haiku input 1_000_000     -> posted 1.5
  -> posts cost:labs/- <- payable:acme    2
  -> and   margin:acme <- cost:labs/-     0.5
event   e3 team:ops haiku input 1_000_000      -> posted 2
spend by team                                  -> search 3, ops 2, labs 1.5
spend by payee                                 -> payable:acme 6, margin:acme 0.5
