"""A model of two CRMs in memory and a state machine that drives the sync engine between them."""
