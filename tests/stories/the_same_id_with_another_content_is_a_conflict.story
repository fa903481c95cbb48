catalog acme from 2026-01-01   haiku   input 0.25/M   output 1.25/M
event   e1 user:bo haiku input 1000 output 10   -> posted 0.0002625
event   e1 with output 7                        -> conflict: output
event   e1 with output 7 user:al                -> conflict: output, user
event   e1 with output 7                        -> conflict: output
event   e1 (again)                              -> already present
spend by model                                  -> haiku 0.0002625
