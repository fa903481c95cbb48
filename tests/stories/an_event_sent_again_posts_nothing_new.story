catalog acme from 2026-01-01   haiku   input 0.25/M   output 1.25/M
event   e1 haiku input 1000 output 10   -> posted 0.0002625
event   e1 (again)                      -> already present
event   e1 (again)                      -> already present
spend by model                          -> haiku 0.0002625
