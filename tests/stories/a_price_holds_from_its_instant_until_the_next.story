catalog acme from 2026-01-01            haiku   input 1/M
catalog acme from 2026-02-01T00:00:00Z  haiku   input 2/M
event   e1 2026-01-31T23:59:59.999999Z haiku input 1_000_000   -> posted 1
event   e2 2026-02-01T00:00:00Z        haiku input 1_000_000   -> posted 2
event   e3 2025-12-31T23:59:59Z        haiku input 1_000_000   -> held: no_rate_card: the first is from 2026-01-01
