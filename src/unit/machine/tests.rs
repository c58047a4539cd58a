//! The state machine against what real managers sent (`tests/recordings/`) and against what none would send.

mod activation;
mod arbitrary;
mod orders;
mod replay;
mod rows;
