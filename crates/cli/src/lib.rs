//! The promptopt command.
