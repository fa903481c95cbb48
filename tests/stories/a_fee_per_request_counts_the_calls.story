catalog acme from 2026-01-01   haiku   input 1/M   request 0.005
event   e1 haiku input 1000               -> posted 0.006
event   e2 calls:3 haiku input 1000       -> posted 0.016
  -> line request 3 x 0.005
