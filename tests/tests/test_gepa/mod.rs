//! GEPA end to end.

mod simulation;
