catalog openrouter from 2026-01-01 basis reported   x/y   input 1/M
event   e1 reported:0.0005 upstream:0.01 served_by:Azure user:bo x/y input 10_000   -> posted 0.0105
  -> posts cost:-/bo <- payable:Azure       0.01
  -> and   cost:-/bo <- payable:openrouter  0.0005
spend by payee   -> payable:Azure 0.01, payable:openrouter 0.0005
