catalog acme from 2026-01-01   haiku   input 1/M
event   e1 2026-02-03T22:59:59Z haiku input 1_000_000   -> posted 1
event   e2 2026-02-03T23:00:00Z haiku input 2_000_000   -> posted 2
spend by day                            -> 2026-02-03 3
spend by day zone Europe/Berlin         -> 2026-02-03 1, 2026-02-04 2
spend by model from 2026-02-04          -> nothing
spend by model until 2026-02-03T23:00:00Z  -> haiku 1
spend by day where model=opus           -> nothing
