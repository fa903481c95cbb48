catalog acme from 2026-01-01   haiku   input 1/M
event   e1 claimed:0 unknown input 1000      -> held: no_rate_card
event   e2 claimed:99 haiku input 1000       -> posted 0.001
