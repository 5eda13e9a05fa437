//! The catalog on disk, on the modelled disk and a sled stand-in that can be crashed: what an answered change
//! must survive, and what is refused.

mod crash;
mod damage;
mod derive;
mod derive_journal;
mod groups;
mod refuse;
mod rules;
mod world;
