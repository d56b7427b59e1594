"""Tuning a language model on questions and answers: low-rank layers or learned prompts, measured before and after."""
