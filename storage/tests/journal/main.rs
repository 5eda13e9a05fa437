//! The journal and its log from outside: on the modelled disk, where power fails and bits flip, and on a real one.

mod append;
mod damage;
mod foreign;
mod full_disk;
mod house;
mod power_loss;
mod real_disk;
mod recycling;
mod retention;
mod scrub;
mod sealing;
mod sealing_crash;
mod world;
