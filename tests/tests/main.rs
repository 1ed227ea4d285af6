//! One binary for all tests across crates.

mod conformance;
mod recorded;
mod simulation;
mod support;
mod test_agent;
mod test_budget;
mod test_copro;
mod test_faults;
mod test_fleet;
mod test_fleet_nats;
mod test_fleet_permissions;
mod test_gepa;
mod test_harm;
mod test_headroom;
mod test_honesty;
mod test_miprov2;
mod test_proposals;
mod test_rows;
mod test_rules;
mod test_run;
mod test_typed;
mod test_writers;
