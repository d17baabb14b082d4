//! Whole-system tests: the real binary, real sockets, real agent processes, told as stories.

mod support;

mod access;
mod bad_agents;
mod bad_frames;
mod bad_input;
mod bad_tokens;
mod client;
mod coalesced;
mod complaints;
mod demo;
mod deployed;
mod described;
mod drain;
mod faults;
mod guards;
mod inbox;
mod kill_nine;
mod limits;
mod listing_live;
mod lists;
mod live;
mod live_agents;
mod live_text;
mod mended;
mod panic;
mod presence;
mod randomized;
mod rest;
mod retrieve;
mod rights;
mod sessions;
mod slow_clients;
mod unwatched;
