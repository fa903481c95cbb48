catalog acme from 2026-01-01   haiku   input 1/M
event   e1 call:gen-1 haiku input 1000                          -> posted 0.001
event   b1 source:broadcast call:gen-1 haiku input 1000         -> evidence
event   b1 source:broadcast call:gen-1 haiku input 1000         -> already present
event   e2 call:gen-2 haiku input 1000                          -> posted 0.001
event   e3 call:gen-1 outcome:cache_hit haiku input 1000        -> posted 0
spend by source   -> gateway 0.002
