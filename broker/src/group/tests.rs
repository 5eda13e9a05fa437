//! The coordinator in a made-up clock: every cell of the table, the rules one by one, and random runs.

mod rules;
mod simulation;
mod table;
mod world;
