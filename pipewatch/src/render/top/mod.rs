//! The live view: what hangs and what waits now. Reports come in, a frame goes out; keys
//! choose what is in it.

mod board;
mod draw;
mod view;

pub use self::{
    board::{Board, Gauges},
    draw::draw,
    view::{Key, View, Wish},
};
