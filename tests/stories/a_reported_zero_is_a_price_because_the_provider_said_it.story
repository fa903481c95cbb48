catalog acme from 2026-01-01   haiku   input 1/M
event   e1 reported:0 unknown input 1000   -> posted 0
  -> because layer reported
event   e2 unknown input 1000              -> held: no_rate_card
