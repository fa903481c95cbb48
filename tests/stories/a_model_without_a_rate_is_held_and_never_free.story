catalog acme from 2026-01-01   haiku   input 0.25/M
event   e1 opus input 5         -> held: no_rate_card: no rate card for acme/opus at 2026-02-03T10:00:00Z
  -> posts nothing
held                            -> 1 no_rate_card
spend by model                  -> nothing
